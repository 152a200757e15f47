/* Reads the files of tests/oracle, Lua tables of cases, through the Lua library; from the project's root. */
#ifndef ORACLE_H
#define ORACLE_H

#include "tensor_test.h"

#include <cJSON.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* Leaves the list of cases on the stack. */
static inline lua_State *oracle_open(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "tests/oracle/%s.lua", name);
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L); /* for math.huge */
    if (luaL_dofile(L, path) != LUA_OK) {
        print_error("%s\n", lua_tostring(L, -1));
        fail();
    }
    return L;
}

static inline const char *oracle_text(lua_State *L, int at, const char *field) {
    lua_getfield(L, at, field);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table holds it */
    return text ? text : "";
}

/* {shape = {…}, data = {…}} on the top of the stack, which is popped; NULL for anything else. */
static inline cnn_tensor *oracle_tensor(lua_State *L) {
    cnn_tensor *t = NULL;
    if (lua_istable(L, -1)) {
        int64_t shape[CNN_MAX_RANK];
        lua_getfield(L, -1, "shape");
        int rank = (int)lua_rawlen(L, -1);
        for (int i = 0; i < rank; i++) {
            lua_rawgeti(L, -1, i + 1);
            shape[i] = lua_tointeger(L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        OK(cnn_tensor_new(&t, CNN_FLOAT32, rank, shape));
        lua_getfield(L, -1, "data");
        assert_int_equal((int64_t)lua_rawlen(L, -1), t->size);
        for (int64_t i = 0; i < t->size; i++) {
            lua_rawgeti(L, -1, i + 1);
            cnn_f32(t)[i] = (float)lua_tonumber(L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return t;
}

static inline cnn_tensor *oracle_field(lua_State *L, int at, const char *field) {
    lua_getfield(L, at, field);
    return oracle_tensor(L);
}

/* The tensors of a list in a field, false as NULL; returns how many. */
static inline int oracle_list(lua_State *L, int at, const char *field, cnn_tensor **out, int most) {
    lua_getfield(L, at, field);
    int count = lua_istable(L, -1) ? (int)lua_rawlen(L, -1) : 0;
    assert_true(count <= most);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, -1, i + 1);
        out[i] = oracle_tensor(L);
    }
    lua_pop(L, 1);
    return count;
}

/* Any value at a place of the stack as JSON: tables with [1] are lists. */
static inline cJSON *oracle_json(lua_State *L, int at) {
    at = lua_absindex(L, at);
    if (lua_isboolean(L, at)) return cJSON_CreateBool(lua_toboolean(L, at));
    if (lua_type(L, at) == LUA_TNUMBER) return cJSON_CreateNumber(lua_tonumber(L, at));
    if (lua_isstring(L, at)) return cJSON_CreateString(lua_tostring(L, at));
    if (!lua_istable(L, at)) return cJSON_CreateNull();
    bool list = lua_rawlen(L, at) > 0;
    cJSON *json = list ? cJSON_CreateArray() : cJSON_CreateObject();
    lua_pushnil(L);
    while (lua_next(L, at)) {
        cJSON *value = oracle_json(L, -1);
        if (list)
            cJSON_AddItemToArray(json, value); /* next goes through a list in order */
        else
            cJSON_AddItemToObject(json, lua_tostring(L, -2), value);
        lua_pop(L, 1);
    }
    return json;
}

#endif
