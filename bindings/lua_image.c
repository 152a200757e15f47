/* cnn.image: picture files, resizing, colour, many pictures in one; and what the prelude needs of C, in the table
 * cnn.image.system, which show.lua, the last of it, takes away. */
#include "lua_cnn.h"
#include "base/file.h"
#include "base/status.h"
#include "base/text.h"
#include "image/image.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* ---- arguments ----------------------------------------------------------------------------------------- */

static int64_t opt_integer(lua_State *L, int arg, const char *who, const char *name, int64_t fallback) {
    return lua_isnil(L, arg) ? fallback : lcnn_check_integer(L, arg, who, name);
}

/* The position of a word in words, NULL-terminated; fallback if not given. */
static int opt_choice(lua_State *L, int arg, const char *who, const char *name, const char *const *words,
                      int fallback) {
    if (lua_isnil(L, arg)) return fallback;
    const char *word = lua_type(L, arg) == LUA_TSTRING ? lua_tostring(L, arg) : NULL;
    if (!word)
        lcnn_fail(L, "%s: '%s' must be a name like \"%s\", got %s", who, name, words[fallback],
                  lcnn_describe(L, arg));
    for (int i = 0; words[i]; i++)
        if (strcmp(word, words[i]) == 0) return i;
    const char *nearest = cnn_nearest(word, words);
    if (nearest) lcnn_fail(L, "%s: unknown %s '%s' (did you mean '%s'?)", who, name, word, nearest);
    luaL_Buffer list;
    luaL_buffinit(L, &list);
    for (int i = 0; words[i]; i++) {
        if (i) luaL_addstring(&list, ", ");
        luaL_addstring(&list, words[i]);
    }
    luaL_pushresult(&list);
    return lcnn_fail(L, "%s: unknown %s '%s': expected one of %s", who, name, word, lua_tostring(L, -1));
}

/* Pictures at arg: a tensor or what makes one. */
static cnn_tensor *check_images(lua_State *L, int arg, const char *who, const char *name) {
    if (lua_isnil(L, arg)) lcnn_fail(L, "%s: '%s' is missing", who, name);
    return lcnn_to_tensor(L, arg);
}

/* ---- files --------------------------------------------------------------------------------------------- */

/*** Loads a picture file: JPEG, PNG, BMP, GIF (its first frame), PGM or PPM.
@function cnn.image.load
@tparam string path
@tparam[opt] int channels 1 (grey), 3 (red, green, blue) or 4 (with alpha), converted if need be; default: those of
the file
@treturn tensor uint8 [height, width, channels], 0 to 255
@raise a file that is not there or no picture
@usage
cnn.image.save("grey.png", cnn.tensor{{0, 1}, {0.5, 0}})
cnn.image.load("grey.png"):shape()   --> {2, 2, 1}
cnn.image.load("grey.png", 3):shape()  --> {2, 2, 3}
cnn.image.load "none.png"            --> error: image.load: cannot read none.png: No such file or directory
*/
static int image_load(lua_State *L) {
    lcnn_args(L, 1, "image.load", (const char *const[]){"path", "channels", NULL});
    const char *path = lcnn_check_path(L, 1, "image.load", "path");
    int64_t channels = opt_integer(L, 2, "image.load", "channels", 0);
    cnn_tensor *image;
    return lcnn_push_result(
        L, cnn_image_load(&image, path, channels < 0 || channels > 9 ? -1 : (int)channels), &image);
}

/*** Saves a picture as PNG, JPEG or BMP, by the name's ending; the file appears whole or not at all.
JPEGs are always written in colour, and not quite as given; the other two keep every pixel.
@function cnn.image.save
@tparam string path ends in .png, .jpg, .jpeg or .bmp
@tparam tensor image [H,W], [H,W,1], [H,W,3] or [H,W,4]: uint8, or float32 from 0 (black) to 1 (white)
@tparam[opt=false] bool scale the smallest value becomes black and the largest white, whatever they are
@tparam[opt=95] int quality of JPEG, 1 to 100
@raise float32 values beyond 0 to 1 without scale; another dtype; a file that cannot be written
@usage
cnn.image.save("ramp.png", cnn.tensor{{0, 0.5, 1}})
cnn.image.load "ramp.png":flatten():tolist()  --> {0, 128, 255}
cnn.image.save{"ramp.png", cnn.tensor{{-3, 7}}, scale = true}
cnn.image.load "ramp.png":flatten():tolist()  --> {0, 255}
cnn.image.save("ramp.png", cnn.tensor{{0, 200}})
--> error: image.save: ramp.png: a float32 picture goes from 0 (black) to 1 (white), got values from 0 to 200;...
*/
static int image_save(lua_State *L) {
    lcnn_args(L, 1, "image.save", (const char *const[]){"path", "image", "scale", "quality", NULL});
    const char *path = lcnn_check_path(L, 1, "image.save", "path");
    bool scale = lcnn_opt_boolean(L, 3, "image.save", "scale", false);
    int64_t quality = opt_integer(L, 4, "image.save", "quality", 95);
    cnn_tensor *image = check_images(L, 2, "image.save", "image");
    lcnn_check(L, cnn_image_save(path, image, scale, quality < 1 || quality > 100 ? -1 : (int)quality));
    return 0;
}

/* ---- size ---------------------------------------------------------------------------------------------- */

/*** Brings pictures to another size, as tf.image.resize does.
@function cnn.image.resize
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam {int,...}|int size {height, width}, or one number for both
@tparam[opt="bilinear"] string interpolation "nearest", "bilinear", "bicubic" or "area" (means of what lies in a
pixel)
@tparam[opt=false] bool antialias widens the bilinear and bicubic filters where the picture shrinks, so that fine
patterns do not flicker
@tparam[opt=false] bool crop_to_aspect_ratio takes the largest part in the middle that has the size's proportions
@tparam[opt=false] bool pad_to_aspect_ratio takes the whole picture, with black beside it
@treturn tensor of the pictures' dtype; uint8 is rounded
@raise another dtype or rank; an interpolation that is none of these
@usage
cnn.image.resize(cnn.zeros{4, 6, 3}, {2, 3}):shape()  --> {2, 3, 3}
cnn.image.resize(cnn.tensor{{0, 1}}, {1, 4}):tolist()  --> {{0.0, 0.25, 0.75, 1.0}}
cnn.image.resize(cnn.tensor{{0, 1}}, {1, 4}, "nearest"):tolist()  --> {{0.0, 0.0, 1.0, 1.0}}
*/
static int image_resize(lua_State *L) {
    static const char *const methods[] = {"nearest", "bilinear", "bicubic", "area", NULL};
    lcnn_args(L, 1, "image.resize",
              (const char *const[]){"images", "size", "interpolation", "antialias", "crop_to_aspect_ratio",
                                    "pad_to_aspect_ratio", NULL});
    int64_t size[CNN_MAX_RANK];
    int given = lcnn_check_list(L, 2, "image.resize", "size", size);
    if (given < 1 || given > 2 || (given == 1 && lua_istable(L, 2)))
        lcnn_fail(L, "image.resize: 'size' must be {height, width} or one number, got %d numbers", given);
    int method = opt_choice(L, 3, "image.resize", "interpolation", methods, CNN_BILINEAR);
    bool antialias = lcnn_opt_boolean(L, 4, "image.resize", "antialias", false);
    bool crop = lcnn_opt_boolean(L, 5, "image.resize", "crop_to_aspect_ratio", false);
    bool pad = lcnn_opt_boolean(L, 6, "image.resize", "pad_to_aspect_ratio", false);
    if (crop && pad)
        lcnn_fail(L,
                  "image.resize: only one of 'crop_to_aspect_ratio' and 'pad_to_aspect_ratio' can be true");
    cnn_aspect aspect = crop ? CNN_ASPECT_CROP : pad ? CNN_ASPECT_PAD : CNN_ASPECT_STRETCH;
    cnn_tensor *images = check_images(L, 1, "image.resize", "images"), *out;
    return lcnn_push_result(
        L,
        cnn_image_fit(&out, images, size[0], size[given - 1], (cnn_interpolation)method, antialias, aspect),
        &out);
}

/* ---- colour and range ---------------------------------------------------------------------------------- */

/*** Turns true colour to grey: 0.2989 red + 0.587 green + 0.114 blue, for the eye takes green for brightest.
@function cnn.image.to_grayscale
@tparam tensor images [H,W,3] or [N,H,W,3]
@treturn tensor with 1 channel, of the same dtype; uint8 is rounded
@raise another number of channels
@usage
red, green = cnn.tensor({{{255, 0, 0}}}, "uint8"), cnn.tensor({{{0, 255, 0}}}, "uint8")
cnn.image.to_grayscale(red):item()   --> 76
cnn.image.to_grayscale(green):item()  --> 150
*/
static int image_to_grayscale(lua_State *L) {
    lcnn_args(L, 1, "image.to_grayscale", (const char *const[]){"images", NULL});
    cnn_tensor *images = check_images(L, 1, "image.to_grayscale", "images"), *out;
    return lcnn_push_result(L, cnn_image_to_grayscale(&out, images), &out);
}

/*** Gives pictures 3 channels: grey is repeated, alpha dropped.
@function cnn.image.to_rgb
@tparam tensor images [H,W], or [H,W,C] or [N,H,W,C] of 1 to 4 channels
@treturn tensor of the same dtype
@usage
cnn.image.to_rgb(cnn.zeros{28, 28}):shape()  --> {28, 28, 3}
cnn.image.to_rgb(cnn.zeros{5, 8, 8, 4}):shape()  --> {5, 8, 8, 3}
*/
static int image_to_rgb(lua_State *L) {
    lcnn_args(L, 1, "image.to_rgb", (const char *const[]){"images", NULL});
    cnn_tensor *images = check_images(L, 1, "image.to_rgb", "images"), *out;
    return lcnn_push_result(L, cnn_image_to_rgb(&out, images), &out);
}

/*** Brings the values of pictures to a common range, each picture of a batch by itself.
A picture of one value becomes 0.
@function cnn.image.normalize
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C]
@tparam[opt="minmax"] string method "minmax": from 0 to 1; "standard": of mean 0 and standard deviation 1
@treturn tensor float32
@usage
cnn.image.normalize(cnn.tensor{{1, 2}, {3, 5}})
--> float32 (2, 2)
--> [[0.   0.25]
-->  [0.5  1.  ]]
cnn.image.normalize(cnn.tensor{{1, 3}}, "standard"):tolist()  --> {{-1.0, 1.0}}
*/
static int image_normalize(lua_State *L) {
    static const char *const methods[] = {"minmax", "standard", NULL};
    lcnn_args(L, 1, "image.normalize", (const char *const[]){"images", "method", NULL});
    bool standard = opt_choice(L, 2, "image.normalize", "method", methods, 0) == 1;
    cnn_tensor *images = check_images(L, 1, "image.normalize", "images"), *out;
    return lcnn_push_result(L, cnn_image_normalize(&out, images, standard), &out);
}

/* ---- many in one --------------------------------------------------------------------------------------- */

/* A list of pictures at index is replaced by them as one tensor. */
static void stack_list(lua_State *L, int index) {
    if (!lua_istable(L, index)) return;
    int count = (int)lua_rawlen(L, index);
    if (count < 1) lcnn_fail(L, "image.grid: the list of pictures is empty");
    const cnn_tensor **parts = lua_newuserdatauv(L, (size_t)count * sizeof *parts, 0);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, index, i + 1);
        parts[i] = lcnn_test_tensor(L, -1);
        if (!parts[i])
            lcnn_fail(L, "image.grid: picture %d of the list must be a tensor, got a %s", i + 1,
                      luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    cnn_tensor *all;
    cnn_status status = cnn_stack(&all, parts, count, 0);
    if (status != CNN_OK) lcnn_error(L, cnn_fail_in(status, "image.grid"));
    lcnn_push_tensor(L, all);
    lua_replace(L, index);
}

/*** Puts many pictures into one, in rows and columns.
[N,H,W,C] of 1, 3 or 4 channels are N pictures. [H,W,K], and [N,H,W,K] of other numbers of channels, are feature
maps: each channel a grey tile, from its smallest value (black) to its largest (white). kind says so where the
number of channels misleads. A list of pictures of one size must lie in a table of its own: grid{{a, b}, columns =
2}.
@function cnn.image.grid
@tparam tensor|{tensor,...} images
@tparam[opt] int columns default: as nearly square as can be; of maps a row for each sample; of kernels a row for
each
@tparam[opt=2] int padding pixels between tiles and around them
@tparam[opt=1] int zoom enlarges each pixel so many times
@tparam[opt=1] number background of the padding, from 0 (black) to 1 (white)
@tparam[opt="auto"] string kind "auto", "pictures", "maps", or "kernels" for a convolution's kernel [kh,kw,C,K]
@tparam[opt] bool normalize each tile from black to white; default: of maps and kernels only
@treturn tensor [H,W,C], uint8 if the pictures are and are not normalized, else float32
@raise pictures of different sizes; numbers out of range
@usage
cnn.image.grid(cnn.zeros{6, 10, 10, 3}):shape()  --> {26, 38, 3}
cnn.image.grid{cnn.zeros{6, 10, 10, 3}, columns = 6, padding = 0}:shape()  --> {10, 60, 3}
layer = layers.Conv2D{8, 3}
layer:build{1, 28, 28, 1}
cnn.image.save("kernels.png", cnn.image.grid{layer.kernel, kind = "kernels", zoom = 10})
*/
static int image_grid(lua_State *L) {
    static const char *const kinds[] = {"auto", "pictures", "maps", "kernels", NULL};
    lcnn_args(L, 1, "image.grid",
              (const char *const[]){"images", "columns", "padding", "zoom", "background", "kind", "normalize",
                                    NULL});
    cnn_grid_options o = {.columns = opt_integer(L, 2, "image.grid", "columns", 0),
                          .padding = opt_integer(L, 3, "image.grid", "padding", 2),
                          .zoom = opt_integer(L, 4, "image.grid", "zoom", 1),
                          .background = 1};
    if (!lua_isnil(L, 5)) o.background = lcnn_check_number(L, 5, "image.grid", "background");
    if ((o.columns == 0 && !lua_isnil(L, 2)) || o.zoom == 0) o.columns = -1;
    o.kind = (cnn_grid_kind)opt_choice(L, 6, "image.grid", "kind", kinds, CNN_GRID_AUTO);
    bool normalize = lcnn_opt_boolean(L, 7, "image.grid", "normalize", false);
    if (!lua_isnil(L, 7)) o.normalize = normalize ? 1 : -1;
    stack_list(L, 1);
    cnn_tensor *images = check_images(L, 1, "image.grid", "images"), *out;
    return lcnn_push_result(L, cnn_image_grid(&out, images, &o), &out);
}

/* ---- for plot.lua -------------------------------------------------------------------------------------- */

/* system.fail(message): raises it as if the caller of the module had. */
static int fail(lua_State *L) {
    return lcnn_fail(L, "%s", luaL_checkstring(L, 1));
}

/* system.describe(value): what an error's text says of it. */
static int describe(lua_State *L) {
    lcnn_describe(L, 1);
    return 1;
}

/* system.unknown(who, what, word, words): raises that the word is not a key of words, and names the nearest. */
static int unknown(lua_State *L) {
    luaL_checktype(L, 4, LUA_TTABLE);
    return lcnn_unknown(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2), luaL_checkstring(L, 3), 4);
}

/* system.write_file(who, path, bytes): the file appears whole or not at all. */
static int write_file(lua_State *L) {
    size_t size;
    const char *who = luaL_checkstring(L, 1), *path = luaL_checkstring(L, 2);
    const char *bytes = luaL_checklstring(L, 3, &size);
    cnn_file file;
    cnn_status status = cnn_file_create(&file, path);
    if (status == CNN_OK) {
        fwrite(bytes, 1, size, file.stream); /* commit tells whether it went well */
        status = cnn_file_commit(&file);
    }
    if (status != CNN_OK) lcnn_error(L, cnn_fail_in(status, who));
    return 0;
}

/* system.range(tensor): the smallest and the largest of its finite elements; nothing if there is none. */
static int range(lua_State *L) {
    const cnn_tensor *t = lcnn_check_eager(L, 1, "plot");
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < t->size; i++) {
        double value = cnn_tensor_get(t, i);
        if (!isfinite(value)) continue;
        low = fmin(low, value);
        high = fmax(high, value);
    }
    if (low > high) return 0;
    lua_pushnumber(L, low);
    lua_pushnumber(L, high);
    return 2;
}

/* system.histogram(tensor, low, high, bins): how many elements lie in each of as many equal parts of
 * [low, high]; the upper end belongs to the last. */
static int histogram(lua_State *L) {
    double low = luaL_checknumber(L, 2), high = luaL_checknumber(L, 3);
    lua_Integer bins = luaL_checkinteger(L, 4);
    luaL_argcheck(L, bins >= 1 && bins <= 100000 && low < high, 4, "out of range");
    int64_t *counts = lua_newuserdatauv(L, (size_t)bins * sizeof *counts, 0);
    memset(counts, 0, (size_t)bins * sizeof *counts);
    const cnn_tensor *t = lcnn_check_eager(L, 1, "plot");
    for (int64_t i = 0; i < t->size; i++) {
        double value = cnn_tensor_get(t, i);
        if (!(value >= low && value <= high)) continue;
        lua_Integer bin = (lua_Integer)((value - low) / (high - low) * (double)bins);
        counts[bin < bins ? bin : bins - 1]++;
    }
    lua_createtable(L, (int)bins, 0);
    for (lua_Integer i = 0; i < bins; i++) {
        lua_pushinteger(L, counts[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static const luaL_Reg image_functions[] = {{"load", image_load},     {"save", image_save},
                                           {"resize", image_resize}, {"to_grayscale", image_to_grayscale},
                                           {"to_rgb", image_to_rgb}, {"normalize", image_normalize},
                                           {"grid", image_grid},     {NULL, NULL}};

static const luaL_Reg system_functions[] = {
    {"fail", fail},   {"describe", describe},   {"unknown", unknown}, {"write_file", write_file},
    {"range", range}, {"histogram", histogram}, {NULL, NULL}};

int lcnn_open_image(lua_State *L) {
    luaL_getsubtable(L, 1, "image");
    luaL_setfuncs(L, image_functions, 0);
    luaL_newlib(L, system_functions);
    lua_setfield(L, -2, "system");
    return 0;
}
