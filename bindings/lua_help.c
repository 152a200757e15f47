/* What cnn.help (prelude/help.lua and help.lua) is made of: chunks that are loaded when they are needed, the arguments
 * of classes, the methods of objects. */
#include "lua_cnn.h"
#include "base/text.h"
#include "image/augment.h"
#include "layers/initializer.h"
#include "layers/layer.h"
#include "train/callback.h"
#include "train/metric.h"
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

/* ---- classes ------------------------------------------------------------------------------------------- */

#define LIST(classes) (const cnn_class *const *)classes

/* The class whose constructor is at index: it carries it as its upvalue. NULL for anything else. */
static const cnn_class *constructed(lua_State *L, int index) {
    const cnn_class *const *const lists[] = {
        LIST(cnn_layer_classes),  LIST(cnn_initializers), LIST(cnn_regularizers), LIST(cnn_optimizers),
        LIST(cnn_schedules),      LIST(cnn_losses),       LIST(cnn_metrics),      LIST(cnn_callbacks),
        LIST(cnn_steps_geometry), LIST(cnn_steps_color),  LIST(cnn_steps_region), LIST(cnn_steps_elastic),
        LIST(cnn_steps_mix)};
    if (!lua_iscfunction(L, index) || !lua_getupvalue(L, index, 1)) return NULL;
    const void *carried = lua_islightuserdata(L, -1) ? lua_touserdata(L, -1) : NULL;
    lua_pop(L, 1);
    for (size_t i = 0; carried && i < sizeof lists / sizeof *lists; i++)
        for (const cnn_class *const *listed = lists[i]; *listed; listed++)
            if (*listed == carried) return *listed;
    return NULL;
}

/* The choices as a type: "valid"|"same". */
static void push_choices(lua_State *L, const char *choices) {
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    luaL_addchar(&text, '"');
    for (; *choices; choices++) {
        if (*choices == ' ')
            luaL_addstring(&text, "\"|\"");
        else
            luaL_addchar(&text, *choices);
    }
    luaL_addchar(&text, '"');
    luaL_pushresult(&text);
}

/* As documentation writes types; nil for what only the text of the argument tells. */
static void push_type(lua_State *L, const cnn_param *param) {
    static const char *const names[] = {
        [CNN_PARAM_BOOL] = "bool",          [CNN_PARAM_INT] = "int",
        [CNN_PARAM_FLOAT] = "number",       [CNN_PARAM_STRING] = "string",
        [CNN_PARAM_PAIR] = "int|{int,int}", [CNN_PARAM_SHAPE] = "int|{int,...}",
        [CNN_PARAM_IGNORED] = NULL}; /* and JSON, nothing */
    if (param->type == CNN_PARAM_CHOICE)
        push_choices(L, param->choices);
    else
        lua_pushstring(L, names[param->type]);
}

static void set_bounds(lua_State *L, const cnn_param *param) {
    bool bounded = param->low != 0 || param->high != 0;
    if (bounded && isfinite(param->low)) {
        lua_pushnumber(L, param->low);
        lua_setfield(L, -2, "low");
    }
    if (param->high != 0 && isfinite(param->high)) {
        lua_pushnumber(L, param->high);
        lua_setfield(L, -2, "high");
    }
}

static void push_param(lua_State *L, const cnn_param *param) {
    lua_createtable(L, 0, 8);
    lua_pushstring(L, param->name);
    lua_setfield(L, -2, "name");
    push_type(L, param);
    lua_setfield(L, -2, "type");
    lua_pushstring(L, param->help ? param->help : "");
    lua_setfield(L, -2, "text");
    lua_pushboolean(L, param->fallback != NULL);
    lua_setfield(L, -2, "optional");
    lua_pushstring(L, param->fallback);
    lua_setfield(L, -2, "json");
    lua_pushboolean(L, param->type == CNN_PARAM_NOTHING || param->type == CNN_PARAM_IGNORED);
    lua_setfield(L, -2, "idle");
    set_bounds(L, param);
}

/* params(constructor): what the class takes, as entries have it, but the default as JSON; idle tells of what is taken
 * for Keras's sake only. nil if it is no class. */
static int params(lua_State *L) {
    const cnn_class *class = constructed(L, 1);
    if (!class) return 0;
    lua_newtable(L);
    for (int i = 0; class->params[i].name; i++) {
        push_param(L, &class->params[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- objects ------------------------------------------------------------------------------------------- */

/* methods(type): the table of methods that objects with a metatable of this name have; nil if there is none. */
static int methods(lua_State *L) {
    if (luaL_getmetatable(L, luaL_checkstring(L, 1)) != LUA_TTABLE) return 0;
    lua_getfield(L, -1, "__index");
    if (lua_iscfunction(L, -1) && !lua_getupvalue(L, -1, 1)) return 0;
    return lua_istable(L, -1);
}

/* ---- chunks and names ---------------------------------------------------------------------------------- */

/* chunk(name): the function that NAME.lua is, which is compiled in. */
static int chunk(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    const lcnn_source *source = lcnn_reference;
    while (source->name && !strstr(source->name, name)) source++;
    luaL_argcheck(L, source->name, 1, "there is no such chunk");
    if (luaL_loadbufferx(L, source->code, source->size, source->name, "b") != LUA_OK) lua_error(L);
    return 1;
}

/* nearest(word, words): the one of a list of strings that is spelled most like it; nil if none is. */
static int nearest(lua_State *L) {
    const char *word = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Unsigned count = lua_rawlen(L, 2);
    const char **candidates = lua_newuserdatauv(L, (count + 1) * sizeof *candidates, 0);
    for (lua_Unsigned i = 0; i < count; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 2, "strings expected");
        candidates[i] = lua_tostring(L, -1); /* stays alive in the list */
        lua_pop(L, 1);
    }
    candidates[count] = NULL;
    lua_pushstring(L, cnn_nearest(word, candidates));
    return 1;
}

static const luaL_Reg functions[] = {
    {"params", params}, {"methods", methods}, {"chunk", chunk}, {"nearest", nearest}, {NULL, NULL}};

/* prelude/help.lua takes them from cnn.help and puts itself there. */
int lcnn_open_help(lua_State *L) {
    luaL_newlib(L, functions);
    lua_setfield(L, 1, "help");
    return 0;
}
