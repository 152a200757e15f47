/* Layers written in Lua: cnn.layers.custom(name, methods) makes a class of layers whose build and call are functions of
 * Lua. Its layers are layers like any other: the functions get the layer itself as self, and the fields they set on it
 * lie in a table that the layer holds in the registry. That table does not hold the layer, so that no circle arises
 * unless a script makes one.
 *
 * call runs when the layer is wired into a model, on symbolic tensors, and when it is called on others; either way what
 * it does with tensors are ops, and nothing of Lua runs in training. */
#include "lua_custom.h"
#include "lua_layer.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

/* A class, alive as long as the Lua state. */
typedef struct custom_class {
    cnn_layer_class base;
    lua_State *L;
    int methods; /* reference to the table of functions */
} custom_class;

typedef struct custom {
    cnn_layer layer;
    cJSON *config; /* the arguments beside those of all layers */
    lua_State *L;  /* NULL before init is through */
    int fields;    /* reference to {fields; their names in the order they were first set} */
} custom;

enum { FIELDS = 1, ORDER };

static const cnn_param params[] = {
    CNN_PARAM(JSON, custom, config, "null", .help = "the arguments of the class's own"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status custom_init(cnn_layer *layer);

bool lcnn_is_custom(const cnn_layer *layer) {
    return ((const cnn_layer_class *)layer->class)->init == custom_init;
}

static custom *as_custom(cnn_layer *layer) {
    return lcnn_is_custom(layer) ? (custom *)layer : NULL;
}

static const custom_class *class_of(const custom *c) {
    return (const custom_class *)c->layer.class;
}

/* ---- into Lua and back ----------------------------------------------------------------------------------- */

/* One call of a method. */
typedef struct method_call {
    custom *self;
    cnn_tensor *const *inputs;
    int n_inputs;
    bool training;
    cnn_tensor *result; /* retained */
    cJSON *config;      /* owned */
} method_call;

/* Runs the function, which gets the method_call as a light userdata, in protected mode. */
static cnn_status run(lua_State *L, lua_CFunction function, method_call *call) {
    if (!lua_checkstack(L, 8)) return cnn_fail(CNN_ERROR_CALLBACK, "Lua's stack is full");
    lua_pushcfunction(L, function);
    lua_pushlightuserdata(L, call);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK) return CNN_OK;
    const char *message = lua_tostring(L, -1);
    cnn_status status = cnn_fail(CNN_ERROR_CALLBACK, "%s", message ? message : "an error that is no string");
    lua_pop(L, 1);
    return status;
}

static void push_table(lua_State *L, const custom *c, int part) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->fields);
    lua_rawgeti(L, -1, part);
    lua_remove(L, -2);
}

/* Pushes the method and self; false, with nothing pushed, if the class has none of this name. */
static bool push_method(lua_State *L, custom *c, const char *name) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, class_of(c)->methods);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    lcnn_push_layer(L, &c->layer);
    return true;
}

/* ---- life ------------------------------------------------------------------------------------------------ */

/* The fields, at first the arguments; then the method init. */
static int make_fields(lua_State *L) {
    custom *self = ((method_call *)lua_touserdata(L, 1))->self;
    lua_createtable(L, 2, 0);
    if (self->config)
        lcnn_push_json(L, self->config);
    else
        lua_newtable(L);
    lua_rawseti(L, -2, FIELDS);
    lua_newtable(L);
    lua_rawseti(L, -2, ORDER);
    self->fields = luaL_ref(L, LUA_REGISTRYINDEX);
    self->L = class_of(self)->L;
    if (push_method(L, self, "init")) lua_call(L, 1, 0);
    return 0;
}

static cnn_status custom_init(cnn_layer *layer) {
    method_call call = {.self = (custom *)layer};
    return run(class_of(call.self)->L, make_fields, &call);
}

static void custom_close(cnn_layer *layer) {
    custom *c = (custom *)layer;
    if (c->L) luaL_unref(c->L, LUA_REGISTRYINDEX, c->fields);
    c->L = NULL;
}

/* ---- layers within --------------------------------------------------------------------------------------- */

typedef void visit_layer(custom *c, cnn_layer *within);

/* Visits the layer on the top, or those of the list there, and pops it. */
static void visit_value(lua_State *L, custom *c, visit_layer *visit, int depth) {
    cnn_layer *within = lcnn_test_layer(L, -1);
    if (within && within != &c->layer) visit(c, within);
    if (lua_type(L, -1) == LUA_TTABLE && depth < 8 && lua_checkstack(L, 4)) {
        for (lua_Unsigned i = 1, count = lua_rawlen(L, -1); i <= count; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i);
            visit_value(L, c, visit, depth + 1);
        }
    }
    lua_pop(L, 1);
}

/* Fields in the order they were first set, lists in theirs: variables must always come in the same order. */
static void visit_layers(lua_State *L, custom *c, visit_layer *visit) {
    push_table(L, c, FIELDS);
    push_table(L, c, ORDER);
    for (lua_Unsigned i = 1, count = lua_rawlen(L, -1); i <= count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        lua_rawget(L, -3);
        visit_value(L, c, visit, 0);
    }
    lua_pop(L, 2);
}

static bool holds(const cnn_layer *layer, const cnn_variable *variable) {
    for (int i = 0; i < layer->variable_count; i++)
        if (layer->variables[i] == variable) return true;
    return false;
}

/* The variables of a layer within are variables of this one too. Without memory they are left out. */
static void adopt(custom *c, cnn_layer *within) {
    cnn_layer *self = &c->layer;
    for (int i = 0; i < within->variable_count; i++) {
        if (holds(self, within->variables[i])) continue;
        cnn_variable **grown =
            cnn_realloc(self->variables, (size_t)(self->variable_count + 1) * sizeof *self->variables);
        if (!grown) return;
        self->variables = grown;
        within->variables[i]->refs++;
        self->variables[self->variable_count++] = within->variables[i];
    }
}

static int adopt_all(lua_State *L) {
    visit_layers(L, ((method_call *)lua_touserdata(L, 1))->self, adopt);
    return 0;
}

static void follow_trainable(custom *c, cnn_layer *within) {
    cnn_layer_set_trainable(within, c->layer.trainable);
}

static int pass_trainable(lua_State *L) {
    visit_layers(L, ((method_call *)lua_touserdata(L, 1))->self, follow_trainable);
    return 0;
}

static void custom_set_trainable(cnn_layer *layer, bool trainable) {
    method_call call = {.self = (custom *)layer};
    (void)trainable; /* the layer has it already */
    run(call.self->L, pass_trainable, &call);
}

/* ---- build and call -------------------------------------------------------------------------------------- */

static int build_in_lua(lua_State *L) {
    const method_call *call = lua_touserdata(L, 1);
    if (!push_method(L, call->self, "build")) return 0;
    if (call->n_inputs > 1) lua_createtable(L, call->n_inputs, 0);
    for (int i = 0; i < call->n_inputs; i++) {
        lcnn_push_shape(L, call->inputs[i]->rank, call->inputs[i]->shape);
        if (call->n_inputs > 1) lua_rawseti(L, -2, i + 1);
    }
    lua_call(L, 2, 0);
    return 0;
}

static cnn_status custom_build(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    method_call call = {.self = (custom *)layer, .inputs = (cnn_tensor *const *)inputs, .n_inputs = n_inputs};
    return run(call.self->L, build_in_lua, &call);
}

static int call_in_lua(lua_State *L) {
    method_call *call = lua_touserdata(L, 1);
    const char *name = call->self->layer.name;
    if (!push_method(L, call->self, "call")) return lcnn_fail(L, "the class has no method 'call'");
    if (call->n_inputs > 1) lua_createtable(L, call->n_inputs, 0);
    bool symbolic = false;
    for (int i = 0; i < call->n_inputs; i++) {
        symbolic = symbolic || !call->inputs[i]->data;
        lcnn_push_tensor(L, cnn_tensor_retain(call->inputs[i]));
        if (call->n_inputs > 1) lua_rawseti(L, -2, i + 1);
    }
    lua_pushboolean(L, call->training);
    lua_call(L, 3, 1);
    const cnn_tensor *result = lcnn_test_tensor(L, -1);
    if (!result) return lcnn_fail(L, "%s: call must return a tensor, got %s", name, lcnn_describe(L, -1));
    if (symbolic && result->data)
        return lcnn_fail(L, "%s: what call returns does not depend on its input", name);
    call->result = cnn_tensor_retain(lcnn_check_tensor(L, -1));
    return 0;
}

static cnn_status custom_call(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                              bool training) {
    method_call call = {
        .self = (custom *)layer, .inputs = inputs, .n_inputs = n_inputs, .training = training};
    CNN_TRY(run(call.self->L, call_in_lua, &call));
    cnn_status status = run(call.self->L, adopt_all, &call);
    if (status != CNN_OK) {
        cnn_tensor_release(call.result);
        return status;
    }
    *out = call.result;
    return CNN_OK;
}

/* ---- what self can do ------------------------------------------------------------------------------------ */

static custom *check_custom(lua_State *L, const char *who) {
    cnn_layer *layer = lcnn_test_layer(L, 1);
    custom *c = layer ? as_custom(layer) : NULL;
    if (!c) lcnn_fail(L, "%s: expected a layer written in Lua as self; call it as self:%s{…}", who, who);
    return c;
}

/*** Makes a weight of a layer written in Lua; to be called in its build or init.
@function layer:add_weight
@tparam string name by which it is a field of files and of the layer's summary
@tparam[opt={}] {int,...} shape default: a scalar
@tparam[opt="glorot_uniform"] string|initializer initializer
@tparam[opt] string|regularizer regularizer whose penalty is added to the model's loss
@tparam[opt=true] bool trainable whether training changes it
@treturn variable float32, which build keeps as a field of self
@raise a layer that is built already, or that is not written in Lua
@usage
Shift = layers.custom("Shift", {
  build = function(self, shape)
    self.offset = self:add_weight{name = "offset", shape = {shape[#shape]}, initializer = "ones"}
  end,
  call = function(self, x) return x + self.offset end,
})
layer = Shift{}
layer{{1, 2}}:tolist()               --> {{2.0, 3.0}}
#layer.weights                       --> 1
*/
static int add_weight(lua_State *L) {
    enum { NAME = 2, SHAPE, INITIALIZER, REGULARIZER, TRAINABLE };
    static const char *const names[] = {"name", "shape", "initializer", "regularizer", "trainable", NULL};
    custom *c = check_custom(L, "add_weight");
    lcnn_args(L, 2, "add_weight", names);
    if (c->layer.built)
        lcnn_fail(L, "add_weight: '%s' is built already; weights are made in build", c->layer.name);
    if (lua_type(L, NAME) != LUA_TSTRING)
        lcnn_fail(L, "add_weight: 'name' must be a string, got %s", lcnn_describe(L, NAME));
    int64_t shape[CNN_MAX_RANK];
    int rank = lua_isnil(L, SHAPE) ? 0 : lcnn_check_shape(L, SHAPE, "add_weight", shape);
    if (lua_isnil(L, INITIALIZER)) {
        lua_pushliteral(L, "glorot_uniform");
        lua_replace(L, INITIALIZER);
    }
    bool trainable = lua_isnil(L, TRAINABLE) || lua_toboolean(L, TRAINABLE);
    const cJSON *initializer = lcnn_to_json(L, INITIALIZER, "add_weight");
    const cJSON *regularizer = lua_isnil(L, REGULARIZER) ? NULL : lcnn_to_json(L, REGULARIZER, "add_weight");
    cnn_variable *variable = NULL;
    lcnn_check(L, cnn_layer_add_variable(&variable, &c->layer, lua_tostring(L, NAME), rank, shape,
                                         initializer, regularizer, trainable));
    lcnn_push_tensor(L, cnn_tensor_retain(variable->value));
    return 1;
}

/* A field, or a method of the class, of the layer at 1 by the name at 2. */
bool lcnn_custom_index(lua_State *L, cnn_layer *layer) {
    custom *c = as_custom(layer);
    if (!c || !c->L) return false;
    push_table(L, c, FIELDS);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL) return true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, class_of(c)->methods);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL) return true;
    lua_settop(L, 2);
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "add_weight") != 0) return false;
    lua_pushcfunction(L, add_weight);
    return true;
}

/* Sets the field at 2 of the layer at 1 to the value at 3. */
bool lcnn_custom_newindex(lua_State *L, cnn_layer *layer) {
    custom *c = as_custom(layer);
    if (!c || !c->L) return false;
    push_table(L, c, FIELDS);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) == LUA_TNIL && !lua_isnil(L, 3)) {
        push_table(L, c, ORDER);
        lua_pushvalue(L, 2);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, -3);
    return true;
}

/* The arguments of all layers with those of the class, flat: what its constructor takes. */
bool lcnn_custom_config(lua_State *L, cnn_layer *layer) {
    custom *c = as_custom(layer);
    if (!c || !c->L) return false;
    cJSON *json = cnn_layer_config_json(layer);
    if (!json) lcnn_fail(L, "out of memory");
    lcnn_own_json(L, json);
    lcnn_push_json(L, json);
    if (push_method(L, c, "get_config"))
        lua_call(L, 1, 1);
    else
        lua_getfield(L, -1, "config");
    lua_pushnil(L);
    lua_setfield(L, -3, "config");
    if (lua_type(L, -1) == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, -2);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -5);
        }
    lua_pop(L, 1);
    return true;
}

static int write_config(lua_State *L) {
    method_call *call = lua_touserdata(L, 1);
    lcnn_custom_config(L, &call->self->layer);
    call->config = cJSON_Duplicate(lcnn_to_json(L, lua_gettop(L), "get_config"), true);
    return 0;
}

/* What get_config gives, for files. */
static cnn_status custom_config(cJSON **out, const cnn_layer *layer, cnn_keras keras) {
    method_call call = {.self = (custom *)layer};
    CNN_TRY(run(class_of(call.self)->L, write_config, &call));
    cJSON *dtype = cnn_policy_spec.write(layer->dtype, keras);
    if (!dtype || !cJSON_ReplaceItemInObjectCaseSensitive(call.config, "dtype", dtype)) {
        cJSON_Delete(dtype);
        cJSON_Delete(call.config);
        return cnn_fail_memory(256);
    }
    *out = call.config;
    return CNN_OK;
}

/* ---- classes --------------------------------------------------------------------------------------------- */

static bool is_common(const char *name) {
    for (const cnn_param *p = params + 1; p->name; p++)
        if (strcmp(p->name, name) == 0) return true;
    return false;
}

/* Moves what is not an argument of all layers to "config", in the box at index. */
static void split_config(lua_State *L, cJSON *json) {
    cJSON *own = cJSON_CreateObject();
    if (!own) lcnn_fail(L, "out of memory");
    for (cJSON *item = json->child, *next; item; item = next) {
        next = item->next;
        if (!is_common(item->string))
            cJSON_AddItemToObject(own, item->string, cJSON_DetachItemViaPointer(json, item));
    }
    if (!cJSON_AddItemToObject(json, "config", own)) {
        cJSON_Delete(own);
        lcnn_fail(L, "out of memory");
    }
}

/* The class's list `arguments` of names, if it has one, NULL-terminated on the stack. */
static const char **argument_names(lua_State *L, const custom_class *class) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, class->methods);
    if (lua_getfield(L, -1, "arguments") != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_pushnil(L);
        return NULL;
    }
    int count = (int)lua_rawlen(L, -1);
    const char **names = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *names, 1);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, -2, i + 1);
        names[i] = luaL_checkstring(L, -1); /* the list keeps it */
        lua_pop(L, 1);
    }
    names[count] = NULL;
    lua_remove(L, -2);
    return names;
}

static void check_names(lua_State *L, const char *who, const char *const *names, const cJSON *json) {
    for (const cJSON *item = json->child; item; item = item->next) {
        bool known = is_common(item->string);
        for (const char *const *name = names; *name && !known; name++)
            known = strcmp(*name, item->string) == 0;
        if (known) continue;
        lua_newtable(L);
        for (const char *const *name = names; *name; name++) {
            lua_pushboolean(L, true);
            lua_setfield(L, -2, *name);
        }
        lcnn_unknown(L, who, "unknown argument", item->string, -1);
    }
}

/* The constructor of a class. */
static int new_custom(lua_State *L) {
    const custom_class *class = lua_touserdata(L, lua_upvalueindex(1));
    const char *who = class->base.class.name;
    const char **names = argument_names(L, class);
    lua_insert(L, 1); /* the names, and the methods that hold them */
    lua_insert(L, 1);
    cJSON *json = lcnn_args_json(L, 3, who, names);
    if (names) check_names(L, who, names, json);
    split_config(L, json);
    lcnn_check(L, cnn_layer_create(lcnn_new_layer(L, LCNN_LAYER), &class->base.class, json));
    return 1;
}

/*** Makes a class of layers whose build and call are functions of Lua.
What call does with tensors are ops, so that models train and save such layers as any others, and nothing of Lua
runs in training. Fields that are set on self are kept with the layer; those that are not set are nil. Layers that
are fields of self, or in lists there, lend the layer their weights. A file that has such a layer is loaded with its
class made before. The table's functions:
- call(self, x, training) returns a tensor made of x, or of the list of x
- build(self, shape) makes the weights, before the first call
- init(self) sets defaults and makes layers within, when the layer is made
- get_config(self) returns the arguments that make an equal layer
- any others become methods

In models call gets x symbolic and training false: what differs in training is left to layers within, such as
Dropout. build calls self:add_weight{…}; its shape has the batch first, which is -1 in models. For init the
arguments are fields of self already. Without get_config, the arguments given are those kept. `arguments`, a list of
names, gives the arguments that may stand by position; names that are not in it are then errors.
@function cnn.layers.custom
@tparam string name of the class, as summaries and files show it
@tparam table methods call, and perhaps the others
@treturn function the constructor, which takes these arguments and those of all layers (name, input_shape,
trainable)
@raise a missing call; functions that are none
@usage
Scale = layers.custom("Scale", {
  arguments = {"factor"},
  init = function(self) self.factor = self.factor or 2 end,
  build = function(self, shape)
    self.gain = self:add_weight{name = "gain", shape = {shape[#shape]}, initializer = "ones"}
  end,
  call = function(self, x) return x * self.gain * self.factor end,
})
Scale{3}{{1, 10}}:tolist()           --> {{3.0, 30.0}}
model = cnn.Sequential{layers.Dense{8, input_shape = {4}}, Scale{}, layers.Dense{1}}
model:count_params()                 --> 57
Scale{factr = 3}                     --> error: Scale: unknown argument 'factr' (did you mean 'factor'?)
*/
static int custom_layer(lua_State *L) {
    lcnn_args(L, 1, "custom", (const char *const[]){"name", "methods", NULL});
    if (lua_type(L, 1) != LUA_TSTRING || lua_rawlen(L, 1) == 0)
        lcnn_fail(L, "custom: 'name' must be a string, got %s", lcnn_describe(L, 1));
    if (lua_type(L, 2) != LUA_TTABLE)
        lcnn_fail(L, "custom: 'methods' must be a table of functions, got %s", lcnn_describe(L, 2));
    static const char *const functions[] = {"call", "build", "init", "get_config"};
    for (int i = 0; i < 4; i++) {
        int type = lua_getfield(L, 2, functions[i]);
        if (type != LUA_TFUNCTION && !(type == LUA_TNIL && i > 0))
            lcnn_fail(L, "custom: '%s' of %s must be a function, got a %s", functions[i], lua_tostring(L, 1),
                      luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    custom_class *class = lua_newuserdatauv(L, sizeof *class, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1); /* the name */
    lua_pushvalue(L, 2);
    int methods = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main_thread = lua_tothread(L, -1);
    lua_pop(L, 1);
    *class = (custom_class){.base = {.class = {.kind = "layer",
                                               .name = lua_tostring(L, 1),
                                               .size = sizeof(custom),
                                               .params = params},
                                     .min_inputs = 1,
                                     .max_inputs = CNN_MAX_INPUTS,
                                     .init = custom_init,
                                     .config = custom_config,
                                     .build = custom_build,
                                     .call = custom_call,
                                     .close = custom_close,
                                     .set_trainable = custom_set_trainable},
                            .L = main_thread,
                            .methods = methods};
    lua_pushvalue(L, -1);
    luaL_ref(L, LUA_REGISTRYINDEX); /* layers point to their class */
    lua_pushcclosure(L, new_custom, 1);
    return 1;
}

int lcnn_open_custom(lua_State *L) {
    lua_getfield(L, 1, "layers");
    lua_pushcfunction(L, custom_layer);
    lua_setfield(L, -2, "custom");
    return 0;
}
