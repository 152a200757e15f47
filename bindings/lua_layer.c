/* Layers in Lua: one constructor a class, cnn.layers.NAME{…}; and the specs of optimizers, losses and the like, which
 * are a class's name with a checked config until something is made from them. */
#include "lua_cnn.h"
#include "lua_custom.h"
#include "lua_layer.h"
#include "model/config.h"
#include "base/text.h"
#include "layers/initializer.h"
#include "ops/tape.h"
#include "train/metric.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include <stdlib.h>
#include <string.h>

/* ---- specs --------------------------------------------------------------------------------------------- */

#define SPEC "cnn.spec"

/* A spec is a table {class_name = …, config = {…}}; __json lets it stand in any config. */
static int spec_json(lua_State *L) {
    lua_createtable(L, 0, 2);
    lua_getfield(L, 1, "class_name");
    lua_setfield(L, -2, "class_name");
    lua_getfield(L, 1, "config");
    lua_setfield(L, -2, "config");
    return 1;
}

static void push_config(lua_State *L) {
    lua_pushliteral(L, "config");
    if (lua_type(L, 1) != LUA_TTABLE || lua_rawget(L, 1) != LUA_TTABLE)
        lcnn_fail(L, "this is no optimizer, loss or the like: it has lost its table 'config'");
}

/* The class of the spec at 1, by its name and the kind that its metatable tells; NULL if it has lost them. */
static const cnn_class *spec_class(lua_State *L) {
    int top = lua_gettop(L);
    const cnn_class *const *classes = NULL;
    const cnn_class *class = NULL;
    if (luaL_getmetafield(L, 1, "classes") == LUA_TLIGHTUSERDATA) classes = lua_touserdata(L, -1);
    lua_pushliteral(L, "class_name");
    const char *name = lua_rawget(L, 1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    for (; name && classes && *classes && !class; classes++)
        if (strcmp((*classes)->name, name) == 0) class = *classes;
    lua_settop(L, top);
    return class;
}

/* An error unless the class of the spec at 1 has an argument of the name at 2. */
static void check_argument(lua_State *L) {
    const cnn_class *class = spec_class(L);
    if (!class) return;
    const char *name = luaL_tolstring(L, 2, NULL);
    lua_newtable(L);
    for (const cnn_param *p = class->params; p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            lua_pop(L, 2);
            return;
        }
        lua_pushboolean(L, true);
        lua_setfield(L, -2, p->name);
    }
    lcnn_unknown(L, class->name, "there is no field", name, -1);
}

void lcnn_spec_get(lua_State *L) {
    push_config(L);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) == LUA_TNIL && lua_type(L, 2) == LUA_TSTRING) check_argument(L);
    lua_remove(L, -2);
}

void lcnn_spec_set(lua_State *L) {
    push_config(L);
    check_argument(L);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static int spec_index(lua_State *L) {
    lcnn_spec_get(L);
    return 1;
}

static int spec_newindex(lua_State *L) {
    lcnn_spec_set(L);
    return 0;
}

static int spec_tostring(lua_State *L) {
    lua_pushliteral(L, "class_name");
    if (lua_type(L, 1) != LUA_TTABLE || lua_rawget(L, 1) != LUA_TSTRING) lua_pushliteral(L, "nothing");
    lua_pushfstring(L, "<%s>", lua_tostring(L, -1));
    return 1;
}

/* Of which kinds specs are. */
static const cnn_class *const *const kinds[] = {cnn_initializers, cnn_regularizers,
                                                cnn_optimizers,   cnn_schedules,
                                                cnn_metrics,      (const cnn_class *const *)cnn_losses};

/* The metatable of the specs of a kind ("optimizer"), to which their files add what these can do. */
void lcnn_push_spec_type(lua_State *L, const char *kind) {
    const char *name = lua_pushfstring(L, SPEC " %s", kind);
    if (luaL_newmetatable(L, name)) {
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            if (strcmp(kinds[i][0]->kind, kind) != 0) continue;
            lua_pushlightuserdata(L, (void *)kinds[i]);
            lua_setfield(L, -2, "classes");
        }
        lua_pushcfunction(L, spec_json);
        lua_setfield(L, -2, "__json");
        lua_pushcfunction(L, spec_index);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, spec_newindex);
        lua_setfield(L, -2, "__newindex");
        lua_pushcfunction(L, spec_tostring);
        lua_setfield(L, -2, "__tostring");
    }
    lua_remove(L, -2);
}

void lcnn_push_spec(lua_State *L, const cnn_class *class, cJSON *config) {
    lcnn_own_json(L, config);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, class->name);
    lua_setfield(L, -2, "class_name");
    lcnn_push_json(L, config);
    lua_setfield(L, -2, "config");
    lcnn_push_spec_type(L, class->kind);
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* What the arguments one by one cannot tell: for its errors, an object is made as it will be where the spec is used. */
static cnn_status try_object(const cnn_class *class, const cJSON *spec) {
    cnn_optimizer *optimizer = NULL;
    cnn_schedule *schedule = NULL;
    cnn_metric *metric = NULL;
    cnn_status status = CNN_OK;
    if (strcmp(class->kind, cnn_optimizers[0]->kind) == 0) status = cnn_optimizer_new(&optimizer, spec);
    if (strcmp(class->kind, cnn_schedules[0]->kind) == 0) status = cnn_schedule_new(&schedule, spec);
    if (strcmp(class->kind, cnn_metrics[0]->kind) == 0) status = cnn_metric_new(&metric, spec, NULL, NULL);
    cnn_optimizer_free(optimizer);
    cnn_schedule_free(schedule);
    cnn_metric_free(metric);
    return status;
}

/* Checks the arguments of a class and keeps them, with the defaults filled in. */
static int new_spec(lua_State *L) {
    const cnn_class *class = lua_touserdata(L, lua_upvalueindex(1));
    cJSON *config = lcnn_args_class(L, 1, class);
    void *object;
    lcnn_check(L, cnn_object_new(&object, class, config));
    cJSON_Delete(config = lcnn_json_take(L, -1));
    config = cnn_object_config(object);
    cnn_object_free(object);
    lcnn_push_spec(L, class, config);
    lcnn_check(L, try_object(class, lcnn_to_json(L, -1, class->name)));
    lua_pop(L, 1);
    return 1;
}

/* A function a class into a new table cnn[name]. */
static void add_classes(lua_State *L, int cnn, const char *name, const cnn_class *const *classes,
                        lua_CFunction make) {
    luaL_getsubtable(L, cnn, name);
    for (; *classes; classes++) {
        lua_pushlightuserdata(L, (void *)*classes);
        lua_pushcclosure(L, make, 1);
        lua_setfield(L, -2, (*classes)->name);
    }
    lua_pop(L, 1);
}

/* ---- layers on the stack --------------------------------------------------------------------------------- */

cnn_layer **lcnn_new_layer(lua_State *L, const char *kind) {
    cnn_layer **box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = NULL;
    luaL_setmetatable(L, kind);
    return box;
}

void lcnn_push_layer(lua_State *L, cnn_layer *layer) {
    *lcnn_new_layer(L, cnn_layer_is_model(layer) ? LCNN_MODEL : LCNN_LAYER) = cnn_layer_retain(layer);
}

cnn_layer *lcnn_test_layer(lua_State *L, int index) {
    cnn_layer **box = luaL_testudata(L, index, LCNN_LAYER);
    if (!box) box = luaL_testudata(L, index, LCNN_MODEL);
    return box ? *box : NULL;
}

cnn_layer *lcnn_check_layer(lua_State *L, int index) {
    cnn_layer *layer = lcnn_test_layer(L, index);
    if (!layer) luaL_typeerror(L, index, "layer");
    return layer;
}

int lcnn_layer_gc(lua_State *L) {
    cnn_layer **box = luaL_testudata(L, 1, LCNN_LAYER);
    if (!box) box = luaL_checkudata(L, 1, LCNN_MODEL);
    cnn_layer_release(*box);
    *box = NULL;
    return 0;
}

int lcnn_layer_eq(lua_State *L) {
    cnn_layer *a = lcnn_test_layer(L, 1), *b = lcnn_test_layer(L, 2);
    lua_pushboolean(L, a && a == b);
    return 1;
}

/* Arguments after the first may be plain; layers.Dropout(0.5) and layers.Dropout{0.5} are the same. */
static int new_layer(lua_State *L) {
    const cnn_class *class = lua_touserdata(L, lua_upvalueindex(1));
    cJSON *config = lcnn_args_class(L, 1, class);
    lcnn_check(L, cnn_layer_create(lcnn_new_layer(L, LCNN_LAYER), class, config));
    return 1;
}

/*** Makes a symbolic tensor, through which data enters a model of cnn.Model.
It has no elements, only a shape and a dtype; layers that are called on it give further ones. Its first axis is the
batch, of any size. In a Sequential model it may stand before the first layer.
@function cnn.Input
@tparam {int,...}|int shape the sizes of one sample, which may be the call's own table: Input{28, 28, 1}
@tparam[opt="float32"] string dtype
@tparam[opt] string name the name of its layer, by which fit takes tables of samples; default: "input_layer",
"input_layer_1", …
@tparam[opt] int batch_size ignored: every model takes batches of any size
@treturn symbolic
@raise a missing shape; sizes that are no integers or negative
@usage
x = cnn.Input{28, 28, 1}
x                                    --> symbolic tensor float32 (None, 28, 28, 1)
layers.Flatten{}(x)                  --> symbolic tensor float32 (None, 784)
cnn.Input()                          --> error: Input: 'shape' (the sizes of one sample) is missing
*/
/*** The same function as cnn.Input.
@function cnn.layers.Input
@tparam {int,...}|int shape the sizes of one sample
@tparam[opt="float32"] string dtype
@tparam[opt] string name
@tparam[opt] int batch_size ignored
@treturn symbolic
@usage
layers.Input == cnn.Input            --> true
*/
static int new_input(lua_State *L) {
    static const char *const names[] = {"*shape", "dtype", "name", "batch_size", NULL};
    lcnn_args(L, 1, "Input", names);
    int64_t shape[CNN_MAX_RANK];
    if (lua_isnil(L, 1)) lcnn_fail(L, "Input: 'shape' (the sizes of one sample) is missing");
    int rank = lcnn_check_shape(L, 1, "Input", shape);
    cnn_dtype dtype = lcnn_opt_dtype(L, 2, "Input", CNN_FLOAT32);
    cnn_tensor *tensor = NULL;
    cnn_status status = cnn_input(&tensor, rank, shape, dtype, luaL_optstring(L, 3, NULL));
    return lcnn_push_result(L, status, &tensor);
}

void lcnn_convert(lua_State *L, int index, const char *who, const char *name) {
    if (lua_isnil(L, index)) return;
    cnn_tensor **box = luaL_testudata(L, index, LCNN_TENSOR);
    if (box && !*box) lcnn_fail(L, "%s: '%s' is a closed tensor", who, name);
    int type = lua_type(L, index);
    if (!box && type != LUA_TNUMBER && type != LUA_TTABLE && type != LUA_TBOOLEAN)
        lcnn_fail(L, "%s: '%s' must be a tensor or a table of numbers, got %s", who, name,
                  lcnn_describe(L, index));
    lcnn_to_tensor(L, index);
}

/* ---- calling ----------------------------------------------------------------------------------------------- */

/* Fetches the tensors of the list at index, or the one there; they stay anchored on the stack. */
int lcnn_tensor_list(lua_State *L, int index, cnn_tensor **list, int most, const char *who) {
    if (lua_type(L, index) != LUA_TTABLE) {
        list[0] = lcnn_to_tensor(L, index);
        return 1;
    }
    lua_rawgeti(L, index, 1);
    bool tensors = lcnn_test_tensor(L, -1) != NULL;
    lua_pop(L, 1);
    if (!tensors) {
        list[0] = lcnn_to_tensor(L, index);
        return 1;
    }
    int count = (int)lua_rawlen(L, index);
    if (count > most) lcnn_fail(L, "%s: at most %d tensors, got %d", who, most, count);
    luaL_checkstack(L, count, "tensors");
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, index, i + 1);
        list[i] = lcnn_check_tensor(L, -1);
    }
    return count;
}

#define LIST "cnn.tensors"

static int free_list(lua_State *L) {
    cnn_tensor **list = luaL_checkudata(L, 1, LIST);
    for (size_t i = 0; i < lua_rawlen(L, 1) / sizeof *list; i++) {
        cnn_tensor_release(list[i]);
        list[i] = NULL;
    }
    return 0;
}

cnn_tensor **lcnn_new_list(lua_State *L, int count) {
    cnn_tensor **list = lua_newuserdatauv(L, (size_t)count * sizeof *list, 0);
    for (int i = 0; i < count; i++) list[i] = NULL;
    if (luaL_newmetatable(L, LIST)) {
        lua_pushcfunction(L, free_list);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return list;
}

int lcnn_push_list(lua_State *L, int count) {
    cnn_tensor **list = luaL_checkudata(L, -1, LIST);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        cnn_tensor *tensor = list[i];
        list[i] = NULL;
        lcnn_push_tensor(L, tensor);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* Layers that augment do so by hand too, as in Keras; and so do models that have nothing else to do. */
static bool augments(const cnn_layer *layer) {
    if (!cnn_layer_is_model(layer)) return ((const cnn_layer_class *)layer->class)->augments;
    const cnn_model *model = (const cnn_model *)layer;
    for (int i = 0; layer->variable_count == 0 && i < model->layer_count; i++)
        if (augments(model->layers[i])) return true;
    return false;
}

/* What a call says of training, in the table at 3: 1, 0 or, if nothing, -1. */
static int training_argument(lua_State *L, const cnn_layer *layer) {
    int said = -1;
    bool table = lua_type(L, 3) == LUA_TTABLE;
    bool misplaced = lua_type(L, 2) == LUA_TTABLE && lua_getfield(L, 2, "training") != LUA_TNIL;
    if ((!table && !lua_isnil(L, 3)) || misplaced)
        lcnn_fail(L, "%s: options come in a table after the tensor, as in layer(x, {training = true})",
                  layer->name);
    for (lua_pushnil(L); table && lua_next(L, 3); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "training") != 0)
            lcnn_fail(L, "%s: unknown option '%s' (there is 'training')", layer->name,
                      luaL_tolstring(L, -2, NULL));
        said = lua_toboolean(L, -1);
    }
    return said;
}

/*** A layer: what cnn.layers.NAME{…} makes, with its weights, if it has any.
It is a function of tensors, `layer(x)`, of a list of tensors where it takes several, `layer{a, b}`, and of nested
tables of numbers. On symbolic tensors it becomes part of a model; on others it computes at once, and a tape can
differentiate it. The first call, or build, makes the weights, which fit that shape from then on. Called again, it
is the same layer with the same weights.

`layer(x, {training = true})` computes as in training: Dropout drops, BatchNormalization takes the batch's mean. By
default it computes as in inference; only layers that augment pictures, and models of nothing else, do by hand what
they do in training. In models, fit and predict see to this. `training = false`, said on symbolic tensors, holds in
fit too.

Fields, which are read: `name`; `class_name`; `built`; `weights`, `trainable_weights` and `non_trainable_weights`,
lists of the tensors themselves, not of copies; each weight by its name, such as `kernel` and `bias` (nil before it
is built); and the arguments it was made with, such as `units`. `trainable` can be set: false keeps the weights as
they are in fit. Set it before compile. A layer prints as `<Dense 'dense'>`.
@field layer
@usage
layer = layers.Dense{2, kernel_initializer = "ones"}
print(layer)                         --> <Dense 'dense', not built>
layer{{1, 2, 3}}
--> float32 (1, 2)
--> [[6. 6.]]
layer.kernel:shape()                 --> {3, 2}
layer.units                          --> 2
layer.kernel[1] = 10
layer{{1, 2, 3}}:tolist()            --> {{15.0, 15.0}}
layers.Dropout{0.5}(cnn.ones{4}, {training = false}):tolist()  --> {1.0, 1.0, 1.0, 1.0}
layer(cnn.ones{1, 3}, true)
--> error: dense: options come in a table after the tensor, as in layer(x, {training = true})
*/
int lcnn_layer_call(lua_State *L) {
    enum { MOST = 64 };
    cnn_layer *layer = lcnn_check_layer(L, 1);
    lua_settop(L, 3);
    int said = training_argument(L, layer);
    bool training = said < 0 ? augments(layer) : said, inference = said == 0;
    lua_settop(L, 2);
    int type = lua_type(L, 2);
    if (type == LUA_TNIL || type == LUA_TSTRING || type == LUA_TFUNCTION)
        lcnn_fail(L, "%s: expected a tensor, got %s", layer->name, luaL_typename(L, 2));
    cnn_tensor *inputs[MOST], *result = NULL, **results = &result;
    int n_results = cnn_layer_output_count(layer);
    if (n_results > 1) results = lcnn_new_list(L, n_results);
    int list = lua_gettop(L);
    int count = lcnn_tensor_list(L, 2, inputs, MOST, layer->name);
    for (int i = 0; i < count; i++) cnn_tensor_retain(inputs[i]);
    cnn_status status = inference ? cnn_layer_call_inference(results, layer, inputs, count)
                                  : cnn_layer_call_all(results, layer, inputs, count, training);
    for (int i = 0; i < count; i++) cnn_tensor_release(inputs[i]);
    if (n_results == 1) return lcnn_push_result(L, status, &result);
    lcnn_check(L, status);
    lua_settop(L, list);
    return lcnn_push_list(L, n_results);
}

/* Has them, or will when it is built. */
static bool has_weights(const cnn_layer *layer) {
    if (layer->variable_count > 0) return true;
    if (!cnn_layer_is_model(layer)) return !layer->built && ((const cnn_layer_class *)layer->class)->build;
    const cnn_model *model = (const cnn_model *)layer;
    for (int i = 0; i < model->layer_count; i++)
        if (has_weights(model->layers[i])) return true;
    return false;
}

/* How a worker thread makes the layer, or the model, anew: from its config. */
int lcnn_layer_carry(lua_State *L) {
    cnn_layer *layer = lcnn_check_layer(L, 1);
    bool model = cnn_layer_is_model(layer), weights = has_weights(layer);
    lua_settop(L, 1);
    if (weights || (!model && lcnn_custom_config(L, layer))) {
        lua_pushnil(L);
        lua_pushfstring(L, "%s %s", model ? "model" : "layer", weights ? "with weights" : "written in Lua");
        return 2;
    }
    if (model) {
        char *json;
        lcnn_check(L, cnn_model_to_json(&json, (cnn_model *)layer));
        lua_pushliteral(L, "model_from_json");
        lcnn_push_text(L, json);
        return 2;
    }
    lua_pushfstring(L, "layers.%s", layer->class->name);
    cJSON *config = cnn_layer_config_json(layer);
    lcnn_own_json(L, config);
    lcnn_push_json(L, config);
    lua_remove(L, -2);
    return 2;
}

/* ---- methods ------------------------------------------------------------------------------------------------ */

/*** The arguments of a layer or model, as Keras saves them, with the defaults filled in.
The constructor takes them again: `layers.Dense(layer:get_config())` is an equal layer, of the same name, with new
weights. Of a model, its whole architecture; model:to_json writes it as text.
@function layer:get_config
@treturn table
@usage
config = layers.Dense{4, activation = "relu"}:get_config()
config.units, config.use_bias
--> 4
--> true
layers.Dense(config).units           --> 4
*/
static int get_config(lua_State *L) {
    if (lcnn_custom_config(L, lcnn_check_layer(L, 1))) return 1;
    const cnn_layer *layer = lcnn_check_layer(L, 1);
    cJSON *json = NULL;
    if (cnn_layer_is_model(layer))
        lcnn_check(L, cnn_model_config_json(&json, (const cnn_model *)layer, CNN_KERAS_2));
    else
        json = cnn_layer_config_json(layer);
    if (!json) lcnn_fail(L, "out of memory");
    lcnn_own_json(L, json);
    lcnn_push_json(L, json);
    return 1;
}

/*** Copies of all weights, in the order of set_weights.
Those of a model are its layers', in order; those of a layer come as Keras has them: kernel, then bias.
`layer.weights` are the tensors themselves.
@function layer:get_weights
@treturn {tensor,...} empty before the layer is built
@usage
layer = layers.Dense{2}
layer:build{1, 3}
weights = layer:get_weights()
weights[1]:shape(), weights[2]:shape()
--> {3, 2}
--> {2}
weights[1][1] = 0
layer.kernel[1]:sum():item() == 0    --> false
*/
static int get_weights(lua_State *L) {
    cnn_layer *layer = lcnn_check_layer(L, 1);
    lua_createtable(L, layer->variable_count, 0);
    for (int i = 0; i < layer->variable_count; i++) {
        cnn_tensor *copy;
        lcnn_check(L, cnn_copy(&copy, layer->variables[i]->value));
        lcnn_push_tensor(L, copy);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static void set_weight(lua_State *L, cnn_layer *layer, int i, bool assign) {
    cnn_tensor *value = layer->variables[i]->value;
    lua_rawgeti(L, 2, i + 1);
    lcnn_convert(L, 3, "set_weights", layer->variables[i]->name);
    const cnn_tensor *given = lcnn_check_tensor(L, 3);
    if (!given->data || !cnn_same_shape(given, value)) {
        char expected[CNN_SHAPE_TEXT], got[CNN_SHAPE_TEXT];
        lcnn_fail(L, "set_weights: weight %d ('%s' of '%s') has shape %s, got %s", i + 1,
                  layer->variables[i]->name, layer->name,
                  cnn_shape_text(expected, sizeof expected, value->rank, value->shape),
                  cnn_shape_text(got, sizeof got, given->rank, given->shape));
    }
    if (assign) {
        cnn_tensor *cast = NULL;
        lcnn_check(L, cnn_cast(&cast, given, CNN_FLOAT32));
        memcpy(value->data, cast->data, cnn_tensor_bytes(value));
        cnn_tape_written(value);
        cnn_tensor_release(cast);
    }
    lua_settop(L, 2);
}

/*** Sets all weights; all are checked before the first is changed.
@function layer:set_weights
@tparam {tensor,...} weights tensors or nested tables, as many and shaped as those that get_weights gives
@raise another number of weights; one of another shape; a layer that is not built
@usage
layer = layers.Dense{1}
layer:build{1, 2}
layer:set_weights{{{1}, {10}}, {100}}
layer{{2, 3}}:item()                 --> 132.0
layer:set_weights{{{1}, {10}}}       --> error: set_weights: 'dense' has 2 weights, got 1
layer:set_weights{{{1, 10}}, {100}}
--> error: set_weights: weight 1 ('kernel' of 'dense') has shape (2, 1), got (1, 2)
*/
static int set_weights(lua_State *L) {
    cnn_layer *layer = lcnn_check_layer(L, 1);
    lua_settop(L, 2);
    if (lua_type(L, 2) != LUA_TTABLE)
        lcnn_fail(L, "set_weights: expected a list of tensors, got %s", lcnn_describe(L, 2));
    int count = (int)lua_rawlen(L, 2);
    if (count != layer->variable_count)
        lcnn_fail(L, "set_weights: '%s' has %d weights, got %d", layer->name, layer->variable_count, count);
    for (int i = 0; i < count; i++) set_weight(L, layer, i, false);
    for (int i = 0; i < count; i++) set_weight(L, layer, i, true);
    return 0;
}

/*** How many numbers the weights hold together, trainable or not; 0 before the layer is built.
@function layer:count_params
@treturn int
@usage
layer = layers.Conv2D{32, 3}
layer:build{1, 28, 28, 1}
layer:count_params()                 --> 320
*/
static int count_params(lua_State *L) {
    const cnn_layer *layer = lcnn_check_layer(L, 1);
    int64_t count = 0;
    for (int i = 0; i < layer->variable_count; i++) count += layer->variables[i]->value->size;
    lua_pushinteger(L, count);
    return 1;
}

/*** Makes the weights for inputs of a shape, as the first call does; a layer that is built keeps its weights.
@function layer:build
@tparam {int,...} shape with the batch first, which is ignored: any number or cnn.null
@raise a shape that the layer, or weights that it has already, cannot take
@usage
layer = layers.Dense{2}
layer.kernel                         --> nil
layer:build{cnn.null, 3}
layer.kernel:shape()                 --> {3, 2}
layer:build{cnn.null, 4}
--> error: dense: weights of shape (3, 2) do not fit an input of shape (None, 4)
*/
static int build(lua_State *L) {
    cnn_layer *layer = lcnn_check_layer(L, 1);
    lua_settop(L, 2);
    int64_t shape[CNN_MAX_RANK];
    lua_Unsigned rank = lua_type(L, 2) == LUA_TTABLE ? lua_rawlen(L, 2) : 0;
    if (rank < 1 || rank > CNN_MAX_RANK)
        lcnn_fail(L, "build: expected a shape of 1 to %d sizes, got %s", CNN_MAX_RANK, lcnn_describe(L, 2));
    shape[0] = 1;
    for (lua_Unsigned i = 1; i < rank; i++) {
        int whole;
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        shape[i] = lua_tointegerx(L, -1, &whole);
        if (!whole || shape[i] < 1)
            lcnn_fail(L, "build: size %d of the shape must be an integer of at least 1, got %s", (int)i + 1,
                      lcnn_describe(L, -1));
        lua_pop(L, 1);
    }
    bool model = luaL_testudata(L, 1, LCNN_MODEL);
    lcnn_check(L, model ? cnn_model_build((cnn_model *)layer, (int)rank, shape)
                        : cnn_layer_build(layer, (int)rank, shape));
    return 0;
}

/* Values of the layer's variables that are live: changing them changes the layer. */
static int push_weights(lua_State *L, const cnn_layer *layer, bool trainable, bool others) {
    lua_newtable(L);
    for (int i = 0, n = 0; i < layer->variable_count; i++) {
        cnn_tensor *value = layer->variables[i]->value;
        if (!(value->trainable ? trainable : others)) continue;
        lcnn_push_tensor(L, cnn_tensor_retain(value));
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static const char *const layer_fields[] = {
    "name",   "class_name", "trainable", "built", "weights", "trainable_weights", "non_trainable_weights",
    "kernel", "bias",       NULL};

/* A field that all layers have; false if it is none of them. */
bool lcnn_layer_field(lua_State *L, cnn_layer *layer, const char *name) {
    int field = 0;
    while (layer_fields[field] && strcmp(layer_fields[field], name) != 0) field++;
    switch (field) {
    case 0:
        lua_pushstring(L, layer->name);
        return true;
    case 1:
        lua_pushstring(L, layer->class->name);
        return true;
    case 2:
        lua_pushboolean(L, layer->trainable);
        return true;
    case 3:
        lua_pushboolean(L, layer->built);
        return true;
    case 4:
        return push_weights(L, layer, true, true);
    case 5:
        return push_weights(L, layer, true, false);
    case 6:
        return push_weights(L, layer, false, true);
    }
    for (int i = 0; i < layer->variable_count; i++) {
        if (strcmp(layer->variables[i]->name, name) != 0) continue;
        lcnn_push_tensor(L, cnn_tensor_retain(layer->variables[i]->value));
        return true;
    }
    if (layer_fields[field]) {
        lua_pushnil(L); /* a kernel or bias not yet built, or not used */
        return true;
    }
    return false;
}

static const luaL_Reg methods[] = {{"get_config", get_config},
                                   {"get_weights", get_weights},
                                   {"set_weights", set_weights},
                                   {"count_params", count_params},
                                   {"build", build},
                                   {NULL, NULL}};

static void add_name(lua_State *L, const char *name) {
    lua_pushboolean(L, true);
    lua_setfield(L, -2, name);
}

int lcnn_unknown_field(lua_State *L, const cnn_layer *layer, const char *name, const char *const *further) {
    luaL_checkstack(L, 4, "error message");
    lua_newtable(L);
    lua_pushvalue(L, lua_upvalueindex(1)); /* the methods */
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushboolean(L, true);
        lua_rawset(L, -6);
    }
    lua_pop(L, 1);
    for (int i = 0; layer_fields[i]; i++) add_name(L, layer_fields[i]);
    for (const cnn_param *p = layer->class->params; p->name; p++) add_name(L, p->name);
    for (; further && *further; further++) add_name(L, *further);
    return lcnn_unknown(L, layer->name, "there is no field", name, -1);
}

/* Methods, then fields, then the config's arguments. */
static int layer_index(lua_State *L) {
    cnn_layer *layer = lcnn_check_layer(L, 1);
    const char *name = luaL_checkstring(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    if (lcnn_custom_index(L, layer)) return 1;
    if (lcnn_layer_field(L, layer, name)) return 1;
    cJSON *json = cnn_layer_config_json(layer);
    if (!json) lcnn_fail(L, "out of memory");
    lcnn_own_json(L, json);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    if (!item && lcnn_is_custom(layer)) return 0; /* a field that is not set */
    if (!item) return lcnn_unknown_field(L, layer, name, NULL);
    lcnn_push_json(L, item);
    return 1;
}

int lcnn_layer_newindex(lua_State *L) {
    cnn_layer *layer = lcnn_check_layer(L, 1);
    const char *name = luaL_checkstring(L, 2);
    if (strcmp(name, "trainable") != 0 && lcnn_custom_newindex(L, layer)) return 0;
    if (strcmp(name, "trainable") != 0) lcnn_fail(L, "%s: '%s' cannot be set", layer->name, name);
    if (lua_type(L, 3) != LUA_TBOOLEAN) lcnn_fail(L, "%s: 'trainable' must be true or false", layer->name);
    cnn_layer_set_trainable(layer, lua_toboolean(L, 3));
    return 0;
}

static int layer_tostring(lua_State *L) {
    const cnn_layer *layer = lcnn_check_layer(L, 1);
    lua_pushfstring(L, "<%s '%s'%s>", layer->class->name, layer->name, layer->built ? "" : ", not built");
    return 1;
}

void lcnn_add_layer_methods(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}

static const luaL_Reg metamethods[] = {{"__gc", lcnn_layer_gc},
                                       {"__eq", lcnn_layer_eq},
                                       {"__call", lcnn_layer_call},
                                       {"__newindex", lcnn_layer_newindex},
                                       {"__tostring", layer_tostring},
                                       {"__carry", lcnn_layer_carry},
                                       {NULL, NULL}};

/*** Begins the names of layers and models anew: the next Dense without a name is called "dense" again.
Layers that exist keep theirs.
@function cnn.backend.clear_session
@usage
layers.Dense{1}.name == "dense", layers.Dense{1}.name == "dense_1"
--> true
--> true
cnn.backend.clear_session()
layers.Dense{1}.name == "dense"      --> true
*/
static int clear_session(lua_State *L) {
    (void)L;
    cnn_clear_session();
    return 0;
}

int lcnn_open_layer(lua_State *L) {
    luaL_newmetatable(L, LCNN_LAYER);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, layer_index, 1);
    lua_setfield(L, -2, "__index");

    add_classes(L, 1, "layers", cnn_layer_classes, new_layer);
    add_classes(L, 1, "initializers", cnn_initializers, new_spec);
    add_classes(L, 1, "regularizers", cnn_regularizers, new_spec);
    add_classes(L, 1, "optimizers", cnn_optimizers, new_spec);
    lua_getfield(L, 1, "optimizers");
    add_classes(L, lua_gettop(L), "schedules", cnn_schedules, new_spec);
    lua_pop(L, 1);
    add_classes(L, 1, "losses", (const cnn_class *const *)cnn_losses, new_spec);
    add_classes(L, 1, "metrics", cnn_metrics, new_spec);

    lua_getfield(L, 1, "layers");
    lua_pushcfunction(L, new_input);
    lua_setfield(L, -2, "Input");
    lua_pushcfunction(L, new_input);
    lua_setfield(L, 1, "Input");
    luaL_getsubtable(L, 1, "backend");
    lua_pushcfunction(L, clear_session);
    lua_setfield(L, -2, "clear_session");
    return 0;
}
