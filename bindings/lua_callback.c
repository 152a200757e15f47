/* Callbacks: the core's own, cnn.callbacks.NAME{…}, and tables of Lua functions. In Lua epochs and batches count from
 * 1, as they are shown.
 *
 * A table may have a state that BackupAndRestore keeps: get_state(self) returns it, as a number, string, boolean or
 * table of such, and set_state(self, state), called after on_train_begin, takes it up in a run that is resumed. */
#include "lua_callback.h"
#include "base/status.h"
#include "base/text.h"
#include "train/history.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CALLBACK "callback"

/* ---- tables of functions ------------------------------------------------------------------------------------ */

/* One for each table given to a run; it lives no longer than that. */
typedef struct lua_callback {
    cnn_callback callback;
    lua_State *L;
    int holder; /* reference in the registry: {the table, its error; and the names it added to logs, by themselves} */
    bool failed;  /* then holder[2] is the error */
    cJSON *state; /* what get_state returned, or set_state is to be given; NULL: nothing */
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

/* Where handlers of batches may go by Keras's older names. */
static const char *older_name(cnn_event event) {
    return event == CNN_TRAIN_BATCH_BEGIN ? "on_batch_begin"
           : event == CNN_TRAIN_BATCH_END ? "on_batch_end"
                                          : NULL;
}

static bool in_logs(const cnn_logs *logs, const char *name) {
    bool found;
    cnn_logs_get(logs, name, &found);
    return found;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The string on the top, as one that lives as long as the holder at index; pops it. */
static const char *held_name(lua_State *L, int holder) {
    lua_pushvalue(L, -1);
    if (lua_rawget(L, holder) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushvalue(L, -1);
        lua_rawset(L, holder);
        lua_pushvalue(L, -1);
    }
    const char *name = lua_tostring(L, -1);
    lua_pop(L, 2);
    return name;
}

/* Takes over what the function changed in its logs, the table on the top, and, in alphabetical order, the numbers that
 * it added. */
static void read_logs(lua_State *L, cnn_logs *logs, int holder) {
    int table = lua_gettop(L), count = 0;
    for (int i = 0; i < logs->count; i++) {
        lua_getfield(L, table, logs->names[i]);
        if (lua_type(L, -1) == LUA_TNUMBER) logs->values[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    const char *added[CNN_MAX_LOGS];
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TNUMBER) continue;
        if (logs->count + count == CNN_MAX_LOGS || in_logs(logs, lua_tostring(L, -2))) continue;
        lua_pushvalue(L, -2);
        added[count++] = held_name(L, holder);
    }
    qsort(added, (size_t)count, sizeof *added, by_name);
    for (int i = 0; i < count; i++) {
        lua_getfield(L, table, added[i]);
        logs->names[logs->count] = added[i];
        logs->values[logs->count++] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
}

typedef struct event_call {
    lua_callback *self;
    cnn_event event;
    int index;
    cnn_logs *logs;
} event_call;

/* Pushes the function of the table at index for the event; false if it has none. */
static bool push_handler(lua_State *L, int table, cnn_event event) {
    if (lua_getfield(L, table, method_names[event]) != LUA_TNIL) return true;
    return older_name(event) && lua_getfield(L, table, older_name(event)) != LUA_TNIL;
}

/* table:on_…([index,] logs), in protected mode; the argument is the event_call. */
static int call_handler(lua_State *L) {
    enum { HOLDER = 2, TABLE, LOGS };
    const event_call *c = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->self->holder);
    lua_rawgeti(L, HOLDER, 1);
    lua_pushnil(L);
    if (!push_handler(L, TABLE, c->event)) return 0;
    push_logs(L, c->logs);
    lua_copy(L, -1, LOGS);
    lua_pushvalue(L, TABLE);
    lua_insert(L, -2);
    if (has_index(c->event)) {
        lua_pushinteger(L, c->index + 1);
        lua_insert(L, -2);
    }
    lua_call(L, has_index(c->event) ? 3 : 2, 0);
    lua_settop(L, LOGS);
    if (c->logs) read_logs(L, c->logs, HOLDER);
    cnn_trainer_touch_weights(c->self->callback.run->model); /* the function may have changed them */
    return 0;
}

/* The error on the top is kept, whatever it is, for lcnn_check_run; pops it. */
static cnn_status keep_error(lua_State *L, lua_callback *self) {
    const char *message = lua_tostring(L, -1);
    cnn_status status =
        cnn_fail(CNN_ERROR_CALLBACK, "%s", message ? message : "callback: an error that is no string");
    lua_rawgeti(L, LUA_REGISTRYINDEX, self->holder);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 2); /* the place is there already, so nothing is allocated */
    lua_pop(L, 1);
    self->failed = true;
    return status;
}

/* function(argument), in protected mode. */
static cnn_status call_protected(lua_callback *self, lua_CFunction function, void *argument) {
    lua_State *L = self->L;
    if (!lua_checkstack(L, 8)) return cnn_fail(CNN_ERROR_CALLBACK, "callback: Lua's stack is full");
    lua_pushcfunction(L, function);
    lua_pushlightuserdata(L, argument);
    return lua_pcall(L, 1, 0, 0) == LUA_OK ? CNN_OK : keep_error(L, self);
}

static cnn_status on_event(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    event_call call = {(lua_callback *)callback, event, index, logs};
    if (event > CNN_PREDICT_BATCH_END) return CNN_OK;
    return call_protected(call.self, call_handler, &call);
}

/* ---- their states -------------------------------------------------------------------------------------------- */

/* Pushes the method of the callback's table, and the table. */
static void push_method(lua_State *L, const lua_callback *self, const char *name) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, self->holder);
    lua_rawgeti(L, -1, 1);
    lua_getfield(L, -1, name);
    lua_insert(L, -2);
}

static int call_get_state(lua_State *L) {
    lua_callback *self = lua_touserdata(L, 1);
    push_method(L, self, "get_state");
    lua_call(L, 1, 1);
    bool given = !lua_isnil(L, -1);
    lcnn_to_json_any(L, -1, "get_state");
    cJSON_Delete(self->state);
    self->state = given ? lcnn_json_take(L, -1) : NULL;
    return 0;
}

/* The inverse of lcnn_to_json_any: NaN has become null. */
static void push_state(lua_State *L, const cJSON *json) {
    luaL_checkstack(L, 4, "nested state");
    if (cJSON_IsNull(json)) {
        lua_pushnumber(L, NAN);
        return;
    }
    if (!cJSON_IsArray(json) && !cJSON_IsObject(json)) {
        lcnn_push_json(L, json);
        return;
    }
    lua_Integer position = 0;
    const cJSON *item;
    lua_newtable(L);
    cJSON_ArrayForEach(item, json) {
        push_state(L, item);
        if (cJSON_IsArray(json))
            lua_rawseti(L, -2, ++position);
        else
            lua_setfield(L, -2, item->string);
    }
}

static int call_set_state(lua_State *L) {
    const lua_callback *self = lua_touserdata(L, 1);
    push_method(L, self, "set_state");
    push_state(L, self->state);
    lua_call(L, 2, 0);
    return 0;
}

static cnn_status get_state(cnn_callback *callback) {
    return call_protected((lua_callback *)callback, call_get_state, callback);
}

static cnn_status set_state(cnn_callback *callback) {
    if (!((lua_callback *)callback)->state) return CNN_OK;
    return call_protected((lua_callback *)callback, call_set_state, callback);
}

static const cnn_param no_params[] = {{0}};
static const cnn_param state_params[] = {CNN_PARAM(JSON, lua_callback, state, NULL), {0}};

static const cnn_callback_class lua_class = {
    .class = CNN_CLASS("callback", "table", NULL, lua_callback, no_params), .on = on_event};
static const cnn_callback_class lua_class_with_state = {
    .class = CNN_CLASS("callback", "table", NULL, lua_callback, no_params),
    .on = on_event,
    .state = state_params,
    .backup = get_state,
    .restore = set_state};

static bool is_table(const cnn_callback *callback) {
    return callback->class == &lua_class.class || callback->class == &lua_class_with_state.class;
}

/* ---- the list of a run -------------------------------------------------------------------------------------- */

typedef struct run_list {
    int count;
    cnn_callback **items;
    lua_callback *tables;
} run_list;

static int free_list(lua_State *L) {
    const run_list *list = lua_touserdata(L, 1);
    for (int i = 0; i < list->count; i++) {
        if (!list->tables[i].callback.class) continue;
        luaL_unref(L, LUA_REGISTRYINDEX, list->tables[i].holder);
        cJSON_Delete(list->tables[i].state);
    }
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

/* A handler whose name is nearly that of an event would never be called. */
static void check_handlers(lua_State *L, int table) {
    enum { EVENTS = sizeof method_names / sizeof *method_names };
    const char *names[EVENTS + 3];
    memcpy(names, method_names, sizeof method_names);
    names[EVENTS] = older_name(CNN_TRAIN_BATCH_BEGIN);
    names[EVENTS + 1] = older_name(CNN_TRAIN_BATCH_END);
    names[EVENTS + 2] = NULL;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strncmp(name, "on_", 3) != 0) continue;
        const char *nearest = cnn_nearest(name, names);
        bool event = nearest && strcmp(nearest, name) == 0, function = lua_type(L, -1) == LUA_TFUNCTION;
        if (event && !function)
            lcnn_fail(L, "callbacks: '%s' must be a function, got a %s", name, luaL_typename(L, -1));
        if (nearest && !event && function)
            lcnn_fail(L, "callbacks: there is no event '%s' (did you mean '%s'?)", name, nearest);
    }
}

/* Whether the table on the top has a state. */
static bool keeps_state(lua_State *L) {
    bool gets = lua_getfield(L, -1, "get_state") != LUA_TNIL,
         sets = lua_getfield(L, -2, "set_state") != LUA_TNIL;
    lua_pop(L, 2);
    if (gets != sets)
        lcnn_fail(L, "callbacks: a table with %s needs %s too", gets ? "get_state" : "set_state",
                  gets ? "set_state" : "get_state");
    return gets;
}

/* The callback on the top, and pops it; what is kept stays alive through the caller's list. */
static void add_callback(lua_State *L, run_list *list, int model) {
    cnn_callback **own = luaL_testudata(L, -1, CALLBACK);
    if (own && *own) {
        list->items[list->count++] = *own;
        lua_pop(L, 1);
        return;
    }
    if (lua_type(L, -1) != LUA_TTABLE)
        lcnn_fail(L, "callbacks: expected callbacks or tables with functions like on_epoch_end, got %s",
                  lcnn_describe(L, -1));
    check_handlers(L, lua_gettop(L));
    bool with_state = keeps_state(L);
    lua_pushvalue(L, model);
    lua_setfield(L, -2, "model");
    lua_createtable(L, 2, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    lua_pushboolean(L, false);
    lua_rawseti(L, -2, 2);
    lua_callback *c = &list->tables[list->count];
    c->L = L;
    c->holder = luaL_ref(L, LUA_REGISTRYINDEX);
    c->callback.class = with_state ? &lua_class_with_state.class : &lua_class.class;
    list->items[list->count++] = &c->callback;
}

/* A callback instead of a list of them: one of the core's, or a table with names in it but no list. */
static bool is_lone_callback(lua_State *L, int index) {
    if (luaL_testudata(L, index, CALLBACK)) return true;
    if (lua_type(L, index) != LUA_TTABLE || lua_rawlen(L, index) > 0) return false;
    lua_pushnil(L);
    if (!lua_next(L, index)) return false;
    lua_pop(L, 2);
    return true;
}

/*** A callback: something that fit, evaluate and predict call as they go.
Either one of cnn.callbacks, or a table with functions of these names:
- on_train_begin(self, logs), on_train_end(self, logs)
- on_epoch_begin(self, epoch, logs), on_epoch_end(self, epoch, logs)
- on_train_batch_begin(self, batch, logs), on_train_batch_end(self, batch, logs)
- the same of test (evaluate, and validation) and predict: on_test_begin, …

Epochs count from 1, batches from 1 in each epoch; on_batch_begin and on_batch_end are those of train by older
names.

`self.model` is the model. `logs` has the figures by name: after an epoch the means over it, with those of
validation, which on_train_end gets once more from the last one; after a batch the means over the epoch so far. Numbers that on_epoch_end puts into logs go into the
history. `self.model.stop_training = true` ends training after the batch or epoch. An error ends it too, and fit
raises it.

BackupAndRestore keeps a state for tables with `get_state(self)`, which returns a number, string, boolean or table
of such, and `set_state(self, state)`, which is called after on_train_begin of a run that is gone on with.
@field callback
@usage
model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
model:compile{optimizer = "sgd", loss = "mse"}
callback = {on_epoch_end = function(self, epoch, logs)
  print(epoch, logs.loss)
  logs.double = 2 * logs.loss
  self.model.stop_training = epoch == 2
end}
history = model:fit{cnn.zeros{4, 1}, cnn.zeros{4, 1}, epochs = 5, verbose = 0, callbacks = {callback}}
--> 1	0.0
--> 2	0.0
history.history.double               --> {0.0, 0.0}
cnn.callbacks.EarlyStopping{monitor = "loss"}.patience  --> 0
*/
int lcnn_callbacks(lua_State *L, int index, int model, cnn_callback ***out) {
    bool given = !lua_isnoneornil(L, index), lone = given && is_lone_callback(L, index);
    if (given && !lone && lua_type(L, index) != LUA_TTABLE)
        lcnn_fail(L, "callbacks: expected a list, got %s", lcnn_describe(L, index));
    int most = lone ? 1 : given ? (int)lua_rawlen(L, index) : 0;
    run_list *list = push_list(L, most);
    lua_createtable(L, most, 0); /* what was in the list, which its owner may change */
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, 1);
    for (int i = 0; i < most; i++) {
        if (lone)
            lua_pushvalue(L, index);
        else
            lua_rawgeti(L, index, i + 1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, i + 1);
        add_callback(L, list, model);
    }
    lua_pop(L, 1);
    *out = list->items;
    return list->count;
}

void lcnn_check_run(lua_State *L, cnn_status status, cnn_callback *const *list, int count) {
    for (int i = 0; status == CNN_ERROR_CALLBACK && i < count; i++) {
        const lua_callback *c = (const lua_callback *)list[i];
        if (!is_table(&c->callback) || !c->failed) continue;
        lua_rawgeti(L, LUA_REGISTRYINDEX, c->holder);
        lua_rawgeti(L, -1, 2);
        lua_error(L);
    }
    lcnn_check(L, status);
}

/* ---- histories ------------------------------------------------------------------------------------------------ */

#define HISTORY "cnn.history"
#define HISTORY_TABLE "history"

static int free_history(lua_State *L) {
    cnn_history **box = luaL_checkudata(L, 1, HISTORY);
    cnn_history_release(*box);
    *box = NULL;
    return 0;
}

cnn_history **lcnn_new_history(lua_State *L) {
    cnn_history **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, HISTORY);
    return box;
}

/* As in Keras, a figure has a value for each epoch that logged it. */
static void push_figure(lua_State *L, const cnn_history *h, int index) {
    int epochs = cnn_history_epochs(h);
    lua_createtable(L, epochs, 0);
    for (int epoch = 0, n = 0; epoch < epochs; epoch++) {
        if (!cnn_history_has(h, index, epoch)) continue;
        lua_pushnumber(L, cnn_history_value(h, index, epoch));
        lua_rawseti(L, -2, ++n);
    }
}

/* Where the userdata of the tables that scripts see are found, for as long as these live. */
static const char histories_key;

/* The history's table on the top belongs to the userdata at index. */
static void keep_history(lua_State *L, int index) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &histories_key);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, index);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/*** What fit measured: a table, which fit returns and model.history keeps.
`history.history` has a list of numbers by each name, one an epoch: `loss`, the metrics, and with validation the
same with `val_` before them (fewer where validation is not run after each epoch). `history.epoch` is the list of
the epochs' numbers, from 1. `history.seconds` is how long the training steps took, `history.waited` how much of
that they waited for a dataset.
@field history
@usage
model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
model:compile{optimizer = "sgd", loss = "mse"}
history = model:fit{cnn.zeros{4, 1}, cnn.zeros{4, 1}, epochs = 2, validation_split = 0.5, verbose = 0}
history.epoch                        --> {1, 2}
history.history                      --> {loss = {0.0, 0.0}, val_loss = {0.0, 0.0}}
model.history == history             --> true
*/
void lcnn_push_history(lua_State *L, int index) {
    index = lua_absindex(L, index);
    const cnn_history *h = *(cnn_history **)luaL_checkudata(L, index, HISTORY);
    int epochs = h ? cnn_history_epochs(h) : 0, count = h ? cnn_history_count(h) : 0;
    lua_createtable(L, 0, 4);
    lua_createtable(L, 0, count);
    for (int i = 0; i < count; i++) {
        push_figure(L, h, i);
        lua_setfield(L, -2, cnn_history_name(h, i));
    }
    lua_setfield(L, -2, "history");
    lua_createtable(L, epochs, 0);
    for (int epoch = 0; epoch < epochs; epoch++) {
        lua_pushinteger(L, h->first_epoch + epoch + 1);
        lua_rawseti(L, -2, epoch + 1);
    }
    lua_setfield(L, -2, "epoch");
    lua_pushnumber(L, h ? cnn_history_seconds(h) : 0);
    lua_setfield(L, -2, "seconds");
    lua_pushnumber(L, h ? cnn_history_waited(h) : 0);
    lua_setfield(L, -2, "waited");
    luaL_getmetatable(L, HISTORY_TABLE);
    lua_setmetatable(L, -2);
    keep_history(L, index);
}

/*** Writes what fit measured as a file, which appears whole or not at all.
In NAME.csv there is a line for each epoch: its number and its figures, with nothing between the commas where one
was not measured. NAME.json is {"epoch": […], "history": {"loss": […], …}}, with null where a figure was not
measured or is not a number.
@function history:save
@tparam string path ends in .csv or .json
@raise another ending; a file that cannot be written
@usage
model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
model:compile{optimizer = "sgd", loss = "mse"}
history = model:fit{cnn.zeros{4, 1}, cnn.zeros{4, 1}, epochs = 2, verbose = 0}
history:save "history.csv"
for line in io.lines "history.csv" do print(line) end
--> epoch,loss
--> 1,0
--> 2,0
*/
static int save_history(lua_State *L) {
    lua_settop(L, 2);
    const char *path = lcnn_check_path(L, 2, "history:save", "path");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &histories_key);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    cnn_history **box = luaL_testudata(L, -1, HISTORY);
    if (!box || !*box) lcnn_fail(L, "history:save: expected what fit returned, got %s", lcnn_describe(L, 1));
    lcnn_check(L, cnn_history_save(*box, path));
    return 0;
}

static void open_histories(lua_State *L) {
    luaL_newmetatable(L, HISTORY);
    lua_pushcfunction(L, free_history);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, HISTORY_TABLE);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, save_history);
    lua_setfield(L, -2, "save");
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &histories_key);
    lua_pop(L, 2);
}

/* ---- the core's callbacks ------------------------------------------------------------------------------------ */

static int new_callback(lua_State *L) {
    const cnn_class *class = lua_touserdata(L, lua_upvalueindex(1));
    lcnn_args_class(L, 1, class);
    const char *config = lcnn_json_print(L);
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
    if (!*box) lcnn_fail(L, "callback: it is closed");
    cJSON *json = cnn_object_config(*box);
    if (!json) lcnn_fail(L, "out of memory");
    lcnn_own_json(L, json);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    if (!item) lcnn_fail(L, "%s: there is no field '%s'", (*box)->class->name, name);
    lcnn_push_json(L, item);
    return 1;
}

static int callback_tostring(lua_State *L) {
    cnn_callback **box = luaL_checkudata(L, 1, CALLBACK);
    lua_pushfstring(L, "<%s>", *box ? (*box)->class->name : "callback, closed");
    return 1;
}

int lcnn_open_callback(lua_State *L) {
    open_histories(L);
    luaL_newmetatable(L, CALLBACK);
    lua_pushcfunction(L, free_callback);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, callback_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, callback_tostring);
    lua_setfield(L, -2, "__tostring");
    luaL_getsubtable(L, 1, "callbacks");
    for (const cnn_class *const *c = cnn_callbacks; *c; c++) {
        lua_pushlightuserdata(L, (void *)*c);
        lua_pushcclosure(L, new_callback, 1);
        lua_setfield(L, -2, (*c)->name);
    }
    return 0;
}
