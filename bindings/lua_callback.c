/* Callbacks: the core's own, cnn.callbacks.NAME{…}, and tables of Lua functions. In Lua epochs and batches count from
 * 1, as they are shown. */
#include "lua_callback.h"
#include "base/status.h"

#include <string.h>

#define CALLBACK "callback"

/* ---- tables of functions ------------------------------------------------------------------------------------ */

/* One for each table given to a run; it lives no longer than that. */
typedef struct lua_callback {
    cnn_callback callback;
    lua_State *L;
    int table; /* reference in the registry */
} lua_callback;

static const char *const method_names[] = {[CNN_TRAIN_BEGIN] = "on_train_begin",
                                           [CNN_TRAIN_END] = "on_train_end",
                                           [CNN_EPOCH_BEGIN] = "on_epoch_begin",
                                           [CNN_EPOCH_END] = "on_epoch_end",
                                           [CNN_TRAIN_BATCH_BEGIN] = "on_train_batch_begin",
                                           [CNN_TRAIN_BATCH_END] = "on_train_batch_end",
                                           [CNN_TEST_BEGIN] = "on_test_begin",
                                           [CNN_TEST_END] = "on_test_end",
                                           [CNN_TEST_BATCH_BEGIN] = "on_test_batch_begin",
                                           [CNN_TEST_BATCH_END] = "on_test_batch_end",
                                           [CNN_PREDICT_BEGIN] = "on_predict_begin",
                                           [CNN_PREDICT_END] = "on_predict_end",
                                           [CNN_PREDICT_BATCH_BEGIN] = "on_predict_batch_begin",
                                           [CNN_PREDICT_BATCH_END] = "on_predict_batch_end"};

static bool has_index(cnn_event event) {
    return event != CNN_TRAIN_BEGIN && event != CNN_TRAIN_END && event != CNN_TEST_BEGIN &&
           event != CNN_TEST_END && event != CNN_PREDICT_BEGIN && event != CNN_PREDICT_END;
}

static void push_logs(lua_State *L, const cnn_logs *logs) {
    lua_createtable(L, 0, logs ? logs->count : 0);
    for (int i = 0; logs && i < logs->count; i++) {
        lua_pushnumber(L, logs->values[i]);
        lua_setfield(L, -2, logs->names[i]);
    }
}

/* What the function changed or added in its logs. */
static void read_logs(lua_State *L, cnn_logs *logs) {
    for (int i = 0; i < logs->count; i++) {
        lua_getfield(L, -1, logs->names[i]);
        if (lua_type(L, -1) == LUA_TNUMBER) logs->values[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
}

/* self:on_…([index,] logs); the arguments: the table, its function, the call. */
typedef struct event_call {
    cnn_event event;
    int index;
    cnn_logs *logs;
} event_call;

static int call_method(lua_State *L) {
    const event_call *c = lua_touserdata(L, 3);
    int arguments = 1;
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 1);
    if (has_index(c->event)) {
        lua_pushinteger(L, c->index + 1);
        arguments++;
    }
    push_logs(L, c->logs);
    lua_pushvalue(L, -1);
    lua_insert(L, 4); /* kept below the call */
    lua_call(L, arguments + 1, 0);
    lua_settop(L, 4);
    if (c->logs) read_logs(L, c->logs);
    return 0;
}

static cnn_status on_event(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    const lua_callback *self = (lua_callback *)callback;
    lua_State *L = self->L;
    if (!lua_checkstack(L, 12)) return cnn_fail(CNN_ERROR_CALLBACK, "callback: Lua's stack is full");
    int top = lua_gettop(L);
    event_call call = {event, index, logs};
    lua_pushcfunction(L, call_method);
    lua_rawgeti(L, LUA_REGISTRYINDEX, self->table);
    lua_pushstring(L, method_names[event]);
    lua_gettable(L, -2);
    cnn_status status = CNN_OK;
    if (lua_type(L, -1) == LUA_TFUNCTION) {
        lua_pushlightuserdata(L, &call);
        if (lua_pcall(L, 3, 0, 0) != LUA_OK) {
            const char *message = lua_tostring(L, -1);
            status = cnn_fail(CNN_ERROR_CALLBACK, "%s",
                              message ? message : "callback: an error that is no string");
        }
    }
    lua_settop(L, top);
    return status;
}

static const cnn_param no_params[] = {{0}};
static const cnn_callback_class lua_class = {
    .class = CNN_CLASS("callback", "table", NULL, lua_callback, no_params, NULL), .on = on_event};

/* ---- the list of a run -------------------------------------------------------------------------------------- */

typedef struct run_list {
    int count;
    cnn_callback **items;
    lua_callback *tables;
} run_list;

static int free_list(lua_State *L) {
    const run_list *list = lua_touserdata(L, 1);
    for (int i = 0; i < list->count; i++)
        if (list->tables[i].callback.class) luaL_unref(L, LUA_REGISTRYINDEX, list->tables[i].table);
    return 0;
}

/* The list with its two arrays in one block, anchored on the stack. */
static run_list *push_list(lua_State *L, int most) {
    size_t bytes = sizeof(run_list) + (size_t)most * (sizeof(cnn_callback *) + sizeof(lua_callback));
    run_list *list = lua_newuserdatauv(L, bytes, 1);
    memset(list, 0, bytes);
    list->tables = (lua_callback *)(list + 1);
    list->items = (cnn_callback **)(list->tables + most);
    if (luaL_newmetatable(L, "cnn.callbacks")) {
        lua_pushcfunction(L, free_list);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return list;
}

/* The callback on the top, and pops it; what is kept stays alive through the caller's list. */
static void add_callback(lua_State *L, run_list *list, int model) {
    cnn_callback **own = luaL_testudata(L, -1, CALLBACK);
    if (own) {
        list->items[list->count++] = *own;
        lua_pop(L, 1);
        return;
    }
    if (lua_type(L, -1) != LUA_TTABLE)
        lcnn_fail(L, "callbacks: expected callbacks or tables with functions like on_epoch_end, got %s",
                  luaL_tolstring(L, -1, NULL));
    lua_pushvalue(L, model);
    lua_setfield(L, -2, "model");
    lua_callback *c = &list->tables[list->count];
    c->L = L;
    c->table = luaL_ref(L, LUA_REGISTRYINDEX);
    c->callback.class = &lua_class.class;
    list->items[list->count++] = &c->callback;
}

int lcnn_callbacks(lua_State *L, int index, int model, cnn_callback ***out) {
    bool given = !lua_isnoneornil(L, index);
    if (given && lua_type(L, index) != LUA_TTABLE)
        lcnn_fail(L, "callbacks: expected a list, got %s", luaL_tolstring(L, index, NULL));
    int most = given ? (int)lua_rawlen(L, index) : 0;
    run_list *list = push_list(L, most);
    for (int i = 0; i < most; i++) {
        lua_rawgeti(L, index, i + 1);
        add_callback(L, list, model);
    }
    if (given) {
        lua_pushvalue(L, index);
        lua_setiuservalue(L, -2, 1);
    }
    *out = list->items;
    return list->count;
}

/* ---- the core's callbacks ------------------------------------------------------------------------------------ */

static int new_callback(lua_State *L) {
    const cnn_class *class = lua_touserdata(L, lua_upvalueindex(1));
    lcnn_args_class(L, 1, class);
    const char *config = lcnn_json_text(L);
    cnn_callback **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, CALLBACK);
    lcnn_check(L, cnn_callback_new(box, class->name, config));
    return 1;
}

static int free_callback(lua_State *L) {
    cnn_callback **box = luaL_checkudata(L, 1, CALLBACK);
    cnn_callback_release(*box);
    *box = NULL;
    return 0;
}

/* Its arguments by name. */
static int callback_index(lua_State *L) {
    cnn_callback **box = luaL_checkudata(L, 1, CALLBACK);
    const char *name = luaL_checkstring(L, 2);
    cJSON *json = cnn_object_config(*box);
    if (!json) lcnn_fail(L, "out of memory");
    lcnn_own_json(L, json);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    if (!item) lcnn_fail(L, "%s: there is no field '%s'", (*box)->class->name, name);
    lcnn_push_json(L, item);
    return 1;
}

int lcnn_open_callback(lua_State *L) {
    luaL_newmetatable(L, CALLBACK);
    lua_pushcfunction(L, free_callback);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, callback_index);
    lua_setfield(L, -2, "__index");
    luaL_getsubtable(L, 1, "callbacks");
    for (const cnn_class *const *c = cnn_callbacks; *c; c++) {
        lua_pushlightuserdata(L, (void *)*c);
        lua_pushcclosure(L, new_callback, 1);
        lua_setfield(L, -2, (*c)->name);
    }
    return 0;
}
