/* Lua values as JSON and back: how a table of arguments becomes the config of a layer or an optimizer.
 * A tree under construction always belongs to a box on the stack, so that no error loses it. */
#include "lua_layer.h"
#include "layers/layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BOX "cnn.json"
#define NN "cnn.nn" /* in the registry: the table */

enum { MAX_DEPTH = 64 };

/* What a conversion is about, for its messages. */
typedef struct context {
    const char *who, *name; /* name of the innermost field, or NULL */
    int depth;
    bool any_number; /* infinite ones and NaN too */
} context;

static cJSON *new_box(lua_State *L, int type) {
    cJSON **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, BOX);
    *box = cJSON_CreateNull();
    if (!*box) lcnn_fail(L, "out of memory");
    (*box)->type = type;
    return *box;
}

/* Takes the JSON out of the place it is given, for an interruption may raise even when the box has it already. */
static int push_box(lua_State *L) {
    cJSON **owned = lua_touserdata(L, 1), **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, BOX);
    *box = *owned;
    *owned = NULL;
    return 1;
}

void lcnn_own_json(lua_State *L, cJSON *owned) {
    if (!owned) lcnn_fail(L, "out of memory");
    lua_pushcfunction(L, push_box);
    lua_pushlightuserdata(L, &owned);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        cJSON_Delete(owned);
        lua_error(L);
    }
}

static int free_box(lua_State *L) {
    cJSON **box = luaL_checkudata(L, 1, BOX);
    cJSON_Delete(*box);
    *box = NULL;
    return 0;
}

static int fail_value(lua_State *L, const context *c, const char *what) {
    if (c->name) return lcnn_fail(L, "%s: '%s' cannot be %s", c->who, c->name, what);
    return lcnn_fail(L, "%s: cannot take %s", c->who, what);
}

/* A null appended to an array, or to an object under key: from then on it belongs to the tree. */
static cJSON *add_null(lua_State *L, cJSON *parent, const char *key) {
    cJSON *item = cJSON_CreateNull();
    if (!item || !(key ? cJSON_AddItemToObject(parent, key, item) : cJSON_AddItemToArray(parent, item))) {
        cJSON_Delete(item);
        lcnn_fail(L, "out of memory");
    }
    return item;
}

static void convert(lua_State *L, int index, cJSON *into, context c);

static void convert_string(lua_State *L, int index, cJSON *into, const context *c) {
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    if (strlen(text) != length) fail_value(L, c, "a string with a zero byte in it");
    into->valuestring = strdup(text);
    if (!into->valuestring) lcnn_fail(L, "out of memory");
    into->type = cJSON_String;
}

static void convert_table(lua_State *L, int index, cJSON *into, const context *c) {
    lua_Integer length = (lua_Integer)lua_rawlen(L, index), positions = 0, names = 0, others = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        lua_Integer position = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (lua_type(L, -2) == LUA_TSTRING)
            names++;
        else if (position >= 1 && position <= length)
            positions++;
        else
            others++;
    }
    if (others > 0 || (names > 0 && positions > 0) || (names == 0 && positions != length))
        fail_value(L, c, "a table whose keys are neither 1, 2, … without a gap nor all names");
    into->type = names > 0 ? cJSON_Object : cJSON_Array;
    if (names == 0) {
        for (lua_Integer i = 1; i <= length; i++) {
            lua_rawgeti(L, index, i);
            convert(L, lua_gettop(L), add_null(L, into, NULL), *c);
            lua_pop(L, 1);
        }
        return;
    }
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *name = lua_tostring(L, -2);
        convert(L, lua_gettop(L), add_null(L, into, name), (context){c->who, name, c->depth, c->any_number});
    }
}

/* Pushes the name by which cnn.nn has the function at index. */
static void push_name_in_nn(lua_State *L, int index, const context *c) {
    lua_getfield(L, LUA_REGISTRYINDEX, NN);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_rawequal(L, -1, index) && lua_type(L, -2) == LUA_TSTRING) {
            lua_pop(L, 1);
            lua_remove(L, -2);
            return;
        }
    fail_value(L, c, "a function that is none of cnn.nn");
}

/* Pushes what a layer is in JSON. */
static void push_layer_spec(lua_State *L, const cnn_layer *layer) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, cnn_layer_class_name(layer));
    lua_setfield(L, -2, "class_name");
    lcnn_own_json(L, cnn_layer_config_json(layer));
    lcnn_push_json(L, *(cJSON **)lua_touserdata(L, -1));
    lua_setfield(L, -3, "config");
    lua_pop(L, 1);
}

/* Keras takes layers and functions as activations too. True if there is one at index; what it is in JSON is pushed. */
static bool push_activation(lua_State *L, int index, const context *c) {
    const cnn_layer *layer = lcnn_test_layer(L, index);
    if (!c->name || strcmp(c->name, "activation") != 0) return false;
    if (layer)
        push_layer_spec(L, layer);
    else if (lua_type(L, index) == LUA_TFUNCTION)
        push_name_in_nn(L, index, c);
    else
        return false;
    return true;
}

static void convert(lua_State *L, int index, cJSON *into, context c) {
    luaL_checkstack(L, 8, "nested tables");
    if (++c.depth > MAX_DEPTH) fail_value(L, &c, "a table nested more than 64 deep, or holding itself");
    if (push_activation(L, index, &c)) {
        convert(L, lua_gettop(L), into, c);
        lua_pop(L, 1);
        return;
    }
    if (luaL_getmetafield(L, index, "__json") != LUA_TNIL) {
        lua_pushvalue(L, index);
        lua_call(L, 1, 1);
        convert(L, lua_gettop(L), into, c);
        lua_pop(L, 1);
        return;
    }
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        break;
    case LUA_TBOOLEAN:
        into->type = lua_toboolean(L, index) ? cJSON_True : cJSON_False;
        break;
    case LUA_TNUMBER:
        if (!c.any_number && !isfinite(lua_tonumber(L, index))) fail_value(L, &c, "infinite or NaN");
        into->type = cJSON_Number;
        cJSON_SetNumberHelper(into, lua_tonumber(L, index));
        break;
    case LUA_TSTRING:
        convert_string(L, index, into, &c);
        break;
    case LUA_TTABLE:
        convert_table(L, index, into, &c);
        break;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index)) break;
        /* fall through */
    default:
        if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING) {
            lua_pushfstring(L, "a %s", lua_tostring(L, -1));
            fail_value(L, &c, lua_tostring(L, -1));
        }
        lua_pushfstring(L, "a %s", luaL_typename(L, index));
        fail_value(L, &c, lua_tostring(L, -1));
    }
}

cJSON *lcnn_to_json(lua_State *L, int index, const char *who) {
    index = lua_absindex(L, index);
    cJSON *json = new_box(L, cJSON_NULL);
    convert(L, index, json, (context){.who = who});
    return json;
}

cJSON *lcnn_to_json_any(lua_State *L, int index, const char *who) {
    index = lua_absindex(L, index);
    cJSON *json = new_box(L, cJSON_NULL);
    convert(L, index, json, (context){.who = who, .any_number = true});
    return json;
}

cJSON *lcnn_json_take(lua_State *L, int index) {
    cJSON **box = luaL_checkudata(L, index, BOX);
    cJSON *json = *box;
    *box = NULL;
    return json;
}

const char *lcnn_json_print(lua_State *L) {
    lcnn_push_text(L, cnn_json_print(lcnn_json_take(L, -1)));
    lua_remove(L, -2);
    return lua_tostring(L, -1);
}

/* ---- arguments ----------------------------------------------------------------------------------------- */

static const char *const no_names[] = {NULL};

/* The value on the top becomes the argument called name. */
static void add_argument(lua_State *L, cJSON *config, const char *who, const char *name) {
    if (cJSON_GetObjectItemCaseSensitive(config, name)) lcnn_fail(L, "%s: got '%s' twice", who, name);
    convert(L, lua_gettop(L), add_null(L, config, name), (context){.who = who, .name = name});
}

static const char *name_at(lua_State *L, const char *who, const char *const *names, int count,
                           lua_Integer position) {
    if (position < 1) lcnn_fail(L, "%s: an argument has the position %I", who, (LUAI_UACINT)position);
    if (position > count)
        lcnn_fail(L, "%s: takes at most %d argument%s by position, got %I", who, count, count == 1 ? "" : "s",
                  (LUAI_UACINT)position);
    return names[position - 1];
}

cJSON *lcnn_args_json(lua_State *L, int first, const char *who, const char *const *names) {
    if (!names) names = no_names;
    int count = 0, top = lua_gettop(L);
    while (names[count]) count++;
    luaL_checkstack(L, 10, "arguments");
    cJSON *config = new_box(L, cJSON_Object);
    bool lone = top == first && lua_type(L, first) == LUA_TTABLE && !lua_getmetatable(L, first);
    if (lone) {
        for (lua_pushnil(L); lua_next(L, first); lua_pop(L, 1)) {
            if (lua_type(L, -2) == LUA_TSTRING)
                add_argument(L, config, who, lua_tostring(L, -2));
            else if (lua_isinteger(L, -2))
                add_argument(L, config, who, name_at(L, who, names, count, lua_tointeger(L, -2)));
            else
                lcnn_fail(L, "%s: an argument has the name %s", who, luaL_tolstring(L, -2, NULL));
        }
        return config;
    }
    lua_settop(L, top + 1); /* a metatable may lie above the box */
    for (int i = first; i <= top; i++) {
        if (lua_isnil(L, i)) continue;
        lua_pushvalue(L, i);
        add_argument(L, config, who, name_at(L, who, names, count, i - first + 1));
        lua_pop(L, 1);
    }
    return config;
}

cJSON *lcnn_args_class(lua_State *L, int first, const cnn_class *class) {
    int count = 0;
    while (class->params[count].name) count++;
    const char **names = lua_newuserdatauv(L, (count + 1) * sizeof *names, 0);
    for (int i = 0; i <= count; i++) names[i] = class->params[i].name;
    lua_insert(L, first); /* below the arguments, out of their way */
    cJSON *config = lcnn_args_json(L, first + 1, class->name, names);
    lua_remove(L, first);
    return config;
}

/* ---- from JSON ----------------------------------------------------------------------------------------- */

void lcnn_push_json(lua_State *L, const cJSON *json) {
    luaL_checkstack(L, 4, "nested JSON");
    if (cJSON_IsBool(json)) {
        lua_pushboolean(L, cJSON_IsTrue(json));
    } else if (cJSON_IsNumber(json)) {
        lua_Integer whole;
        if (lua_numbertointeger(json->valuedouble, &whole) && (double)whole == json->valuedouble)
            lua_pushinteger(L, whole);
        else
            lua_pushnumber(L, json->valuedouble);
    } else if (cJSON_IsString(json)) {
        lua_pushstring(L, json->valuestring);
    } else if (cJSON_IsArray(json) || cJSON_IsObject(json)) {
        bool is_array = cJSON_IsArray(json);
        lua_newtable(L);
        lua_Integer position = 0;
        for (const cJSON *item = json->child; item; item = item->next) {
            if (!is_array && cJSON_IsNull(item)) continue;
            lcnn_push_json(L, item);
            if (is_array)
                lua_rawseti(L, -2, ++position);
            else
                lua_setfield(L, -2, item->string);
        }
    } else {
        lua_pushlightuserdata(L, NULL);
    }
}

/*** A value as JSON text. A table with keys 1, 2, … becomes an array, the empty table too; one with names an object,
in any order. cnn.null becomes null. Objects whose metatable has a function __json stand for what that returns.
@function cnn.to_json
@tparam any value nil, a boolean, finite number or string, or tables of them; whole numbers beyond 2^53 are rounded
@treturn text
@raise functions, tensors (t:tolist() first), NaN and infinite numbers, tables with both names and positions, or gaps
@usage
cnn.to_json{1, 2.5, "three", true, cnn.null}             --> [1,2.5,"three",true,null]
cnn.to_json{loss = cnn.tensor{0.5, 0.25}:tolist()}       --> {"loss":[0.5,0.25]}
cnn.to_json{x = cnn.ones{2}}       --> error: to_json: 'x' cannot be a tensor
*/
static int to_json(lua_State *L) {
    luaL_checkany(L, 1);
    lcnn_to_json(L, 1, "to_json");
    lcnn_json_print(L);
    return 1;
}

/*** The value that JSON text stands for. Arrays and objects become tables, null in an array cnn.null; fields that are
null are left out. Numbers without a fraction are integers.
@function cnn.from_json
@tparam text text
@treturn any
@raise what is not JSON, or goes on behind it
@usage
t = cnn.from_json '{"epochs": 3, "loss": [0.5, null], "note": null}'
t.epochs, t.loss[1], t.loss[2] == cnn.null, t.note
--> 3
--> 0.5
--> true
--> nil
cnn.from_json "[1, 2"  --> error: from_json: not JSON from position 6 on, where the text ends
*/
static int from_json(lua_State *L) {
    const char *text = luaL_checkstring(L, 1), *end = NULL;
    cJSON *parsed = cJSON_ParseWithOpts(text, &end, true);
    if (!parsed)
        return lcnn_fail(L, "from_json: not JSON from position %I on%s", (LUAI_UACINT)(end - text + 1),
                         *end ? "" : ", where the text ends");
    lcnn_own_json(L, parsed);
    lcnn_push_json(L, parsed);
    return 1;
}

/*** JSON's null, where nil cannot stand: in an array, or for an argument that is to be told as none.
@field cnn.null
@usage
cnn.to_json{1, cnn.null, 3}        --> [1,null,3]
cnn.from_json "null" == cnn.null   --> true
*/

int lcnn_open_json(lua_State *L) {
    luaL_newmetatable(L, BOX);
    lua_pushcfunction(L, free_box);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, free_box);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
    luaL_getsubtable(L, 1, "nn");
    lua_setfield(L, LUA_REGISTRYINDEX, NN);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, 1, "null");
    lua_pushcfunction(L, to_json);
    lua_setfield(L, 1, "to_json");
    lua_pushcfunction(L, from_json);
    lua_setfield(L, 1, "from_json");
    return 0;
}
