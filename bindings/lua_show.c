/* Pictures as text that a terminal draws, made by libchafa: its graphics protocols, or characters. And what is to be
 * known of the terminal. For prelude/show.lua and its neighbours, in the table cnn.image.system.
 *
 * libchafa is opened at the first picture: the program starts without it, and runs where it is not installed. It
 * aborts where memory runs out, so sizes are bounded before it hears of them. */
#include "lua_callback.h"
#include "base/cpu.h"

#include <chafa.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

extern char **environ;

/* ---- the library --------------------------------------------------------------------------------------------- */

#define CHAFA_FUNCTIONS(X)                                                                                   \
    X(chafa_canvas_config_new)                                                                               \
    X(chafa_canvas_config_set_canvas_mode)                                                                   \
    X(chafa_canvas_config_set_cell_geometry)                                                                 \
    X(chafa_canvas_config_set_fill_symbol_map)                                                               \
    X(chafa_canvas_config_set_geometry)                                                                      \
    X(chafa_canvas_config_set_pixel_mode)                                                                    \
    X(chafa_canvas_config_set_preprocessing_enabled)                                                         \
    X(chafa_canvas_config_set_symbol_map)                                                                    \
    X(chafa_canvas_config_set_work_factor)                                                                   \
    X(chafa_canvas_config_unref)                                                                             \
    X(chafa_canvas_draw_all_pixels)                                                                          \
    X(chafa_canvas_new)                                                                                      \
    X(chafa_canvas_print)                                                                                    \
    X(chafa_canvas_unref)                                                                                    \
    X(chafa_symbol_map_add_by_tags)                                                                          \
    X(chafa_symbol_map_new)                                                                                  \
    X(chafa_symbol_map_unref)                                                                                \
    X(chafa_term_db_detect)                                                                                  \
    X(chafa_term_db_get_default)                                                                             \
    X(chafa_term_db_get_fallback_info)                                                                       \
    X(chafa_term_info_have_seq)                                                                              \
    X(chafa_term_info_new)                                                                                   \
    X(chafa_term_info_unref)                                                                                 \
    X(g_string_free)

/* Its functions by their own names. */
typedef struct chafa {
    bool open;
#define X(name) __typeof__(name) *name;
    CHAFA_FUNCTIONS(X)
#undef X
} chafa;

/* The library, which all functions here have as an upvalue; or NULL and what is wrong. It is never closed: glib,
 * which it brings along, cannot be unloaded. */
static const chafa *open_chafa(lua_State *L, const char **why) {
    chafa *c = lua_touserdata(L, lua_upvalueindex(1));
    if (c->open) return c;
    void *library = dlopen("libchafa.so.0", RTLD_NOW | RTLD_LOCAL);
    c->open = library;
#define X(name) c->open = c->open && (*(void **)&c->name = dlsym(library, #name));
    CHAFA_FUNCTIONS(X)
#undef X
    if (c->open) return c;
    *why = dlerror();
    return NULL;
}

/* ---- the terminal -------------------------------------------------------------------------------------------- */

/* What is drawn with: the words of Lua, best first, the sequence that tells that a terminal knows it, and the mode. */
typedef struct ability {
    const char *name;
    ChafaTermSeq sequence;
    int mode;
} ability;

static const ability formats[] = {
    {"kitty", CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1, CHAFA_PIXEL_MODE_KITTY},
    {"iterm", CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE, CHAFA_PIXEL_MODE_ITERM2},
    {"sixel", CHAFA_TERM_SEQ_BEGIN_SIXELS, CHAFA_PIXEL_MODE_SIXELS},
    {"symbols", CHAFA_TERM_SEQ_MAX, CHAFA_PIXEL_MODE_SYMBOLS},
};

static const ability colors[] = {
    {"direct", CHAFA_TERM_SEQ_SET_COLOR_FGBG_DIRECT, CHAFA_CANVAS_MODE_TRUECOLOR},
    {"256", CHAFA_TERM_SEQ_SET_COLOR_FGBG_256, CHAFA_CANVAS_MODE_INDEXED_240},
    {"16", CHAFA_TERM_SEQ_SET_COLOR_FGBG_16, CHAFA_CANVAS_MODE_INDEXED_16},
    {"none", CHAFA_TERM_SEQ_MAX, CHAFA_CANVAS_MODE_FGBG},
};

static const ability *best_of(const ability *all, const chafa *c, const ChafaTermInfo *info) {
    while (all->sequence != CHAFA_TERM_SEQ_MAX && !(c && c->chafa_term_info_have_seq(info, all->sequence)))
        all++;
    return all;
}

static int check_ability(lua_State *L, int arg, const ability *all) {
    const char *name = luaL_checkstring(L, arg);
    while (strcmp(all->name, name) != 0 && all->sequence != CHAFA_TERM_SEQ_MAX) all++;
    return all->mode;
}

/* system.abilities(): the best format and colours that the environment's terminal is known for. Nothing is asked of
 * the terminal itself, which may be slow to answer, or mute. */
static int abilities(lua_State *L) {
    const char *why;
    const chafa *c = open_chafa(L, &why);
    ChafaTermInfo *info = c ? c->chafa_term_db_detect(c->chafa_term_db_get_default(), environ) : NULL;
    const ability *format = best_of(formats, c, info), *color = best_of(colors, c, info);
    if (info) c->chafa_term_info_unref(info);
    lua_pushstring(L, format->name);
    lua_pushstring(L, color->name);
    return 2;
}

/* system.screen(file): columns, rows, and a cell's width and height in pixels (0: not known) of the terminal that an
 * open file is; nothing if it is none. */
static int screen(lua_State *L) {
    const luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    struct winsize size = {0};
    if (!stream->closef || !isatty(fileno(stream->f))) return 0;
    ioctl(fileno(stream->f), TIOCGWINSZ, &size);
    bool known = size.ws_col && size.ws_row;
    lua_pushinteger(L, known ? size.ws_col : 80);
    lua_pushinteger(L, known ? size.ws_row : 24);
    lua_pushinteger(L, known ? size.ws_xpixel / size.ws_col : 0);
    lua_pushinteger(L, known ? size.ws_ypixel / size.ws_row : 0);
    return 4;
}

/* ---- drawing ------------------------------------------------------------------------------------------------- */

typedef struct drawing {
    ChafaPixelMode format;
    ChafaCanvasMode colors;
    int columns, rows, cell_width, cell_height;
    const cnn_tensor *pixels;
} drawing;

/* Gives the config symbols of these kinds. */
static void use_symbols(const chafa *c, ChafaCanvasConfig *config,
                        void (*set)(ChafaCanvasConfig *config, const ChafaSymbolMap *symbols), int tags) {
    ChafaSymbolMap *symbols = c->chafa_symbol_map_new();
    c->chafa_symbol_map_add_by_tags(symbols, (ChafaSymbolTags)tags);
    set(config, symbols);
    c->chafa_symbol_map_unref(symbols);
}

static ChafaCanvasConfig *configure(const chafa *c, const drawing *d) {
    ChafaCanvasConfig *config = c->chafa_canvas_config_new();
    c->chafa_canvas_config_set_geometry(config, d->columns, d->rows);
    c->chafa_canvas_config_set_cell_geometry(config, d->cell_width, d->cell_height);
    c->chafa_canvas_config_set_pixel_mode(config, d->format);
    c->chafa_canvas_config_set_canvas_mode(config, d->colors);
    c->chafa_canvas_config_set_preprocessing_enabled(config, FALSE); /* it would change colours */
    c->chafa_canvas_config_set_work_factor(config, 1);
    use_symbols(c, config, c->chafa_canvas_config_set_symbol_map,
                CHAFA_SYMBOL_TAG_SPACE | CHAFA_SYMBOL_TAG_BLOCK);
    if (d->colors == CHAFA_CANVAS_MODE_FGBG) /* nothing else makes grey */
        use_symbols(c, config, c->chafa_canvas_config_set_fill_symbol_map,
                    CHAFA_SYMBOL_TAG_SPACE | CHAFA_SYMBOL_TAG_STIPPLE | CHAFA_SYMBOL_TAG_SOLID);
    return config;
}

/* Text by malloc; NULL: out of memory. */
static char *draw_text(const chafa *c, const drawing *d) {
    ChafaCanvasConfig *config = configure(c, d);
    ChafaCanvas *canvas = c->chafa_canvas_new(config);
    int height = (int)d->pixels->shape[0], width = (int)d->pixels->shape[1];
    c->chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGBA8_UNASSOCIATED, d->pixels->data, width, height,
                                    width * 4);
    bool plain = d->format == CHAFA_PIXEL_MODE_SYMBOLS && d->colors == CHAFA_CANVAS_MODE_FGBG;
    ChafaTermInfo *info =
        plain ? c->chafa_term_info_new() : c->chafa_term_db_get_fallback_info(c->chafa_term_db_get_default());
    GString *text = c->chafa_canvas_print(canvas, info);
    char *copy = strdup(text->str);
    c->g_string_free(text, TRUE);
    c->chafa_term_info_unref(info);
    c->chafa_canvas_unref(canvas);
    c->chafa_canvas_config_unref(config);
    return copy;
}

static int check_size(lua_State *L, int arg, int most) {
    lua_Integer size = luaL_checkinteger(L, arg);
    luaL_argcheck(L, size >= 1 && size <= most, arg, "out of range");
    return (int)size;
}

/* system.draw(pixels, columns, rows, format, colors, cell_width, cell_height): a picture, uint8 [H,W,4], as text that
 * fills so many cells. */
static int draw(lua_State *L) {
    enum { MOST_CELLS = 1000, MOST_PIXELS = 1 << 24 };
    const char *why;
    const chafa *c = open_chafa(L, &why);
    if (!c)
        return lcnn_fail(L, "show: %s; Debian's package is libchafa0, version 1.12 or later is needed", why);
    drawing d = {.columns = check_size(L, 2, MOST_CELLS), .rows = check_size(L, 3, MOST_CELLS)};
    d.format = (ChafaPixelMode)check_ability(L, 4, formats);
    d.colors = (ChafaCanvasMode)check_ability(L, 5, colors);
    d.cell_width = check_size(L, 6, 256);
    d.cell_height = check_size(L, 7, 256);
    const cnn_tensor *t = d.pixels = lcnn_check_eager(L, 1, "show");
    luaL_argcheck(L, t->dtype == CNN_UINT8 && t->rank == 3 && t->shape[2] == 4, 1, "not RGBA");
    luaL_argcheck(L, t->size >= 4 && t->size / 4 <= MOST_PIXELS, 1, "too large");
    luaL_argcheck(L, d.columns * d.cell_width * (int64_t)(d.rows * d.cell_height) <= MOST_PIXELS, 2,
                  "too large");
    lcnn_push_text(L, draw_text(c, &d));
    return 1;
}

/* NaN is black. */
static uint8_t byte_of(double value, double low, double high) {
    double byte = (value - low) / (high - low) * 255 + 0.5;
    return byte >= 255 ? 255 : byte > 0 ? (uint8_t)byte : 0;
}

/* system.paste(canvas, picture, top, left, low, high): copies a picture [H,W,C] into the canvas, uint8 [H,W,4]; low
 * becomes black and high white, and alpha, if there is any, is from 0 to high. */
static int paste(lua_State *L) {
    double low = luaL_checknumber(L, 5), high = luaL_checknumber(L, 6);
    lua_Integer top = luaL_checkinteger(L, 3), left = luaL_checkinteger(L, 4);
    cnn_tensor *canvas = lcnn_check_eager(L, 1, "show");
    const cnn_tensor *picture = lcnn_check_eager(L, 2, "show");
    luaL_argcheck(L, canvas->dtype == CNN_UINT8 && canvas->rank == 3 && canvas->shape[2] == 4, 1, "not RGBA");
    luaL_argcheck(L, picture->rank == 3, 2, "not a picture");
    int64_t height = picture->shape[0], width = picture->shape[1], channels = picture->shape[2];
    luaL_argcheck(L, channels == 1 || channels == 3 || channels == 4, 2, "not a picture");
    luaL_argcheck(L, top >= 0 && top + height <= canvas->shape[0], 3, "out of range");
    luaL_argcheck(L, left >= 0 && left + width <= canvas->shape[1], 4, "out of range");
    for (int64_t y = 0; y < height; y++) {
        uint8_t *to = cnn_u8(canvas) + ((top + y) * canvas->shape[1] + left) * 4;
        for (int64_t x = 0; x < width; x++, to += 4) {
            int64_t from = (y * width + x) * channels;
            for (int k = 0; k < 3; k++)
                to[k] = byte_of(cnn_tensor_get(picture, from + (channels > 1) * k), low, high);
            to[3] = channels == 4 ? byte_of(cnn_tensor_get(picture, from + 3), 0, high) : 255;
        }
    }
    return 0;
}

/* ---- for fit ------------------------------------------------------------------------------------------------- */

/* system.seconds(): a clock. */
static int seconds(lua_State *L) {
    lua_pushnumber(L, cnn_seconds());
    return 1;
}

/* system.set_live(function): what fit calls at verbose = 3, with its callbacks; see prelude/live.lua. */
static int set_live(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, LCNN_LIVE);
    return 0;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"abilities", abilities}, {"screen", screen},     {"paste", paste}, {"draw", draw},
    {"seconds", seconds},     {"set_live", set_live}, {NULL, NULL}};

int lcnn_open_show(lua_State *L) {
    luaL_getsubtable(L, 1, "image");
    luaL_getsubtable(L, -1, "system");
    memset(lua_newuserdatauv(L, sizeof(chafa), 0), 0, sizeof(chafa));
    luaL_setfuncs(L, functions, 1);
    return 0;
}
