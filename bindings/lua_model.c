/* Models in Lua: Sequential and Model, compile, fit, evaluate, predict. */
#include "lua_callback.h"
#include "lua_cnn.h"
#include "lua_layer.h"
#include "train/history.h"
#include "train/trainer.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 64 };

cnn_model *lcnn_check_model(lua_State *L, int index) {
    cnn_layer **box = luaL_checkudata(L, index, LCNN_MODEL);
    if (!*box) luaL_argerror(L, index, "the model is closed");
    return (cnn_model *)*box;
}

/* ---- making -------------------------------------------------------------------------------------------------- */

/* A layer, a model, or the symbolic tensor of an Input. */
static void add_item(lua_State *L, cnn_model *model, int index, const char *who) {
    cnn_layer *layer = lcnn_test_layer(L, index);
    const cnn_tensor *tensor = layer ? NULL : lcnn_test_tensor(L, index);
    if (tensor && cnn_call_of(tensor) && cnn_call_of(tensor)->n_inputs == 0)
        layer = cnn_call_of(tensor)->layer;
    if (!layer) lcnn_fail(L, "%s: expected a layer, got %s", who, lcnn_describe(L, index));
    lcnn_check(L, cnn_model_add(model, layer));
}

/*** A network that can be trained: what cnn.Sequential, cnn.Model, cnn.load_model and cnn.applications make.
A model is a layer too: it may be called on tensors, `model(x)`, and stand in other models. Its layers are shared,
not copied: one that stands in two models has the same weights in both.

Fields, which are read: `name`; `layers`, a list; `inputs` and `outputs`, lists of symbolic tensors, and `input` and
`output`, the only one (of several the list); `input_shape` and `output_shape`, tables of the first one's sizes in which -1 is the batch (all empty or nil before
a Sequential model knows its input); `built`; `weights`, `trainable_weights` and `non_trainable_weights`, lists of
the tensors themselves, not of copies; `optimizer`, once compiled, with `learning_rate` (which can be set),
`iterations` and its arguments, and `loss`, a loss or a list of them; `metrics_names`; `history`, of the last fit, be it interrupted or not.

Fields that are set: `trainable`, true or false, for all layers inside (compile the model anew afterwards);
`stop_training = true`, in a callback, ends training after this batch or epoch.
@field model
@usage
model = cnn.Sequential{layers.Dense{4, activation = "relu", input_shape = {3}}, layers.Dense{1}}
model.input_shape, model.output_shape
--> {-1, 3}
--> {-1, 1}
#model.layers, model:count_params()
--> 2
--> 21
model(cnn.zeros{2, 3}):shape()       --> {2, 1}
model.layers[1].trainable = false
#model.trainable_weights             --> 2
model.layerz                         --> error: sequential: there is no field 'layerz' (did you mean 'layers'?)
*/
/*** Makes a model of layers that stand one after the other.
The first layer tells the shape of the input by `input_shape` (the sizes of one sample, without the batch), or a
cnn.Input stands before it. Without either, the model is built by the first data it sees, and summary must wait for
that.
@function cnn.Sequential
@tparam[opt] {layer,...} layers layers and models; none may be there twice, and names must differ. They may stand in
the call's own table: Sequential{layers.Dense{8}, layers.Dense{1}, name = "net"}
@tparam[opt] string name default: "sequential", "sequential_1", …
@treturn model
@raise something that is no layer; two layers of one name; layers whose shapes do not fit
@usage
model = cnn.Sequential{
  layers.Conv2D{8, 3, activation = "relu", input_shape = {28, 28, 1}},
  layers.MaxPooling2D{2},
  layers.Flatten{},
  layers.Dense{10, activation = "softmax"},
}
model.output_shape                   --> {-1, 10}
model:count_params()                 --> 13610
cnn.Sequential{3}                    --> error: Sequential: expected a layer, got 3
*/
static int new_sequential(lua_State *L) {
    lcnn_args(L, 1, "Sequential", (const char *const[]){"*layers", "name", NULL});
    cnn_model *model = NULL;
    cnn_layer **box = lcnn_new_layer(L, LCNN_MODEL);
    lcnn_check(L, cnn_sequential_new(&model, luaL_optstring(L, 2, NULL)));
    *box = &model->layer;
    if (lua_type(L, 1) == LUA_TTABLE) {
        for (int i = 0, count = (int)lua_rawlen(L, 1); i < count; i++) {
            lua_rawgeti(L, 1, i + 1);
            add_item(L, model, lua_gettop(L), "Sequential");
            lua_pop(L, 1);
        }
    } else if (!lua_isnil(L, 1)) {
        add_item(L, model, 1, "Sequential");
    }
    return 1;
}

/*** Makes a model from its inputs and outputs: the functional API.
Layers are called on cnn.Input and on what other layers made; the model is all that lies between. Branches, several
inputs and outputs, and layers called more than once are possible.
@function cnn.Model
@tparam symbolic|{symbolic,...} inputs what cnn.Input made, or a list of it
@tparam symbolic|{symbolic,...} outputs what layers made of the inputs, or a list of it
@tparam[opt] string name default: "functional", "functional_1", …
@treturn model
@raise tensors with elements in place of symbolic ones; outputs that need other inputs
@usage
inputs = cnn.Input{8, 8, 3}
x = layers.Conv2D{4, 3, padding = "same", activation = "relu"}(inputs)
x = layers.Concatenate{}{inputs, x}
outputs = layers.Dense{2}(layers.GlobalAveragePooling2D{}(x))
model = cnn.Model{inputs = inputs, outputs = outputs}
model.output_shape                   --> {-1, 2}
model:connections()[2]               --> {"input_layer", "concatenate"}
*/
static int new_model(lua_State *L) {
    lcnn_args(L, 1, "Model", (const char *const[]){"inputs", "outputs", "name", NULL});
    if (lua_isnil(L, 1) || lua_isnil(L, 2)) lcnn_fail(L, "Model: 'inputs' and 'outputs' must be given");
    cnn_tensor *inputs[MAX_TENSORS], *outputs[MAX_TENSORS];
    cnn_layer **box = lcnn_new_layer(L, LCNN_MODEL);
    int made = lua_gettop(L);
    int n_inputs = lcnn_tensor_list(L, 1, inputs, MAX_TENSORS, "Model");
    int n_outputs = lcnn_tensor_list(L, 2, outputs, MAX_TENSORS, "Model");
    cnn_model *model;
    lcnn_check(L,
               cnn_functional_new(&model, luaL_optstring(L, 3, NULL), inputs, n_inputs, outputs, n_outputs));
    *box = &model->layer;
    lua_settop(L, made);
    return 1;
}

/*** Appends a layer to a Sequential model.
@function model:add
@tparam layer layer a layer, or a model
@raise a model of cnn.Model; a name that is there already; a layer that does not fit the shape before it
@usage
model = cnn.Sequential{layers.Dense{4, input_shape = {3}}}
model:add(layers.Dense{2})
model.output_shape                   --> {-1, 2}
*/
static int add(lua_State *L) {
    lua_settop(L, 2);
    add_item(L, lcnn_check_model(L, 1), 2, "add");
    return 0;
}

/*** Removes the last layer of a Sequential model.
@function model:pop
@raise a model without layers, or of cnn.Model
@usage
model = cnn.Sequential{layers.Dense{4, input_shape = {3}}, layers.Dense{2}}
model:pop()
model.output_shape                   --> {-1, 4}
*/
static int pop(lua_State *L) {
    lcnn_check(L, cnn_model_pop(lcnn_check_model(L, 1)));
    return 0;
}

/*** Prints a table of the layers: names and classes, output shapes (None: the batch), numbers of parameters.
@function model:summary
@tparam[opt] int line_length the width of the table, 20 to 1000; default: as the names need
@tparam[opt] function print_fn called with each line instead of printing it
@tparam[opt=false] bool show_trainable a further column: Y or N
@raise a model that does not know its input's shape yet
@usage
model = cnn.Sequential{layers.Dense{4, input_shape = {3}}, layers.Dense{1}}
model:summary()
--> Model: "sequential"
--> _________________________________________________________________
--> Layer (type)                 Output Shape              Param #
--> =================================================================
--> dense (Dense)                (None, 4)                 16
--> _________________________________________________________________
--> dense_1 (Dense)              (None, 1)                 5
--> =================================================================
--> Total params: 21
--> Trainable params: 21
--> Non-trainable params: 0
--> _________________________________________________________________
lines = {}
model:summary{print_fn = function(line) lines[#lines + 1] = line end}
#lines                               --> 12
cnn.Sequential{layers.Dense{1}}:summary()
--> error: summary: model 'sequential_1' does not know its input's shape yet; give its first layer...
*/
static int summary(lua_State *L) {
    enum { SHORTEST = 20, LONGEST = 1000 };
    const cnn_model *model = lcnn_check_model(L, 1);
    lcnn_args(L, 2, "summary", (const char *const[]){"line_length", "print_fn", "show_trainable", NULL});
    int whole = 1;
    lua_Integer width = lua_isnil(L, 2) ? 0 : lua_tointegerx(L, 2, &whole);
    if (!whole || (width != 0 && (width < SHORTEST || width > LONGEST)))
        lcnn_fail(L, "summary: 'line_length' must be an integer between %d and %d, got %s", SHORTEST, LONGEST,
                  lcnn_describe(L, 2));
    if (!lua_isnil(L, 3) && lua_type(L, 3) != LUA_TFUNCTION)
        lcnn_fail(L, "summary: 'print_fn' must be a function, got %s", lcnn_describe(L, 3));
    char *text;
    lcnn_check(L, cnn_model_summary(&text, model, (int)width, lua_toboolean(L, 4)));
    lcnn_push_text(L, text);
    if (lua_isnil(L, 3)) {
        lua_getglobal(L, "io");
        lua_getfield(L, -1, "write");
        lua_pushvalue(L, -3);
        lua_call(L, 1, 0);
        return 0;
    }
    for (const char *line = lua_tostring(L, -1); *line;) {
        size_t length = strcspn(line, "\n");
        lua_pushvalue(L, 3);
        lua_pushlstring(L, line, length);
        lua_call(L, 1, 0);
        line += length + (line[length] == '\n');
    }
    return 0;
}

/*** The layer of a name or position.
@function model:get_layer
@tparam string|int name a layer's name, or its position in model.layers, from 1
@tparam[opt] int index the position, by Keras's name for it
@treturn layer the layer itself: what is done to it is done to the model
@raise a name or position that is not there
@usage
model = cnn.Sequential{layers.Dense{4, input_shape = {3}, name = "hidden"}, layers.Dense{1}}
model:get_layer("hidden").units      --> 4
print(model:get_layer(2).name)       --> dense
print(model:get_layer{index = 2}.name)  --> dense
model:get_layer("hiden")             --> error: get_layer: no layer 'hiden' (did you mean 'hidden'?)
*/
static int get_layer(lua_State *L) {
    enum { NAME = 2, INDEX };
    const cnn_model *model = lcnn_check_model(L, 1);
    cnn_layer *layer = NULL;
    lcnn_args(L, 2, "get_layer", (const char *const[]){"name", "index", NULL});
    if (lua_isnil(L, NAME) == lua_isnil(L, INDEX))
        lcnn_fail(L, "get_layer: expected either 'name' or 'index'");
    if (lua_type(L, NAME) != LUA_TSTRING) {
        if (lua_isnil(L, INDEX)) lua_copy(L, NAME, INDEX);
        int whole;
        lua_Integer position = lua_tointegerx(L, INDEX, &whole);
        if (!whole || lua_type(L, INDEX) != LUA_TNUMBER)
            lcnn_fail(L, "get_layer: expected a layer's name or position, got %s", lcnn_describe(L, INDEX));
        if (position >= 1 && position <= model->layer_count)
            layer = cnn_model_layer(model, (int)position - 1);
        if (!layer)
            lcnn_fail(L, "get_layer: there is no layer %I; the model has %d", (LUAI_UACINT)position,
                      model->layer_count);
    } else {
        lcnn_check(L, cnn_model_get_layer(&layer, model, lua_tostring(L, NAME)));
    }
    lcnn_push_layer(L, layer);
    return 1;
}

/* ---- compile ---------------------------------------------------------------------------------------------------- */

/*** Chooses how the model is trained: optimizer, loss and metrics.
Must come before fit and evaluate, not before predict. The weights stay as they are; the optimizer begins anew, so
that compiling again forgets its moments and counts. Names are Keras's: of optimizers "sgd", "rmsprop", "adam", …;
of losses "mse", "binary_crossentropy", "sparse_categorical_crossentropy", …; the metric "accuracy" is the one that
fits the loss.
@function model:compile
@tparam[opt="rmsprop"] string|optimizer optimizer a name, for its default arguments, or cnn.optimizers.NAME{…}
@tparam string|loss|table loss a name or cnn.losses.NAME{…}. Of several outputs one for all, a list of them, or a
table by the output layers' names; the model's loss is their sum
@tparam[opt] {string|metric,...} metrics names or cnn.metrics.NAME{…}. Of several outputs for all, or a list of
lists, or by name
@tparam[opt] {number,...}|table loss_weights factors of the outputs' losses in the sum: a list, or by name
@raise names that are not there; a missing loss
@usage
model = cnn.Sequential{layers.Dense{3, activation = "softmax", input_shape = {4}}}
model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
model.metrics_names                  --> {"loss", "accuracy"}
model:compile{optimizer = cnn.optimizers.SGD{0.1, momentum = 0.9}, loss = "sparse_categorical_crossentropy"}
model.optimizer.learning_rate        --> 0.1
model:compile{optimizer = "adm", loss = "mse"}
--> error: compile: unknown optimizer 'adm' (did you mean 'adam'?)
*/
static int compile(lua_State *L) {
    cnn_model *model = lcnn_check_model(L, 1);
    lcnn_args_json(L, 2, "compile",
                   (const char *const[]){"optimizer", "loss", "metrics", "loss_weights", NULL});
    lcnn_check(L, cnn_model_compile(model, lcnn_json_print(L)));
    return 0;
}

/* ---- arguments of the loops ---------------------------------------------------------------------------------------- */

/* Arguments of fit, evaluate and predict, by position on the stack from 2 on. */
static const char *const fit_names[] = {"x",
                                        "y",
                                        "batch_size",
                                        "epochs",
                                        "verbose",
                                        "callbacks",
                                        "validation_split",
                                        "validation_data",
                                        "shuffle",
                                        "class_weight",
                                        "sample_weight",
                                        "initial_epoch",
                                        "steps_per_epoch",
                                        "validation_steps",
                                        "validation_freq",
                                        NULL};
static const char *const evaluate_names[] = {"x",     "y",         "batch_size",  "verbose", "sample_weight",
                                             "steps", "callbacks", "return_dict", NULL};
static const char *const predict_names[] = {"x", "batch_size", "verbose", "steps", "callbacks", NULL};

/* The stack index of an argument. */
static int place(const char *const *names, const char *name) {
    int i = 0;
    while (strcmp(names[i], name) != 0) i++;
    return i + 2;
}

/* lcnn_convert to float32. */
static void convert_weight(lua_State *L, int index, const char *who, const char *name) {
    lcnn_convert(L, index, who, name);
    const cnn_tensor *given = lua_isnil(L, index) ? NULL : lcnn_check_tensor(L, index);
    if (!given || !given->data || given->dtype == CNN_FLOAT32) return;
    cnn_tensor *cast = NULL;
    lcnn_push_result(L, cnn_cast(&cast, given, CNN_FLOAT32), &cast);
    lua_replace(L, index);
}

/* The tensor that convert left there, or NULL. Fetched right before it is used: Lua code that runs in between might
 * close it. */
static cnn_tensor *converted(lua_State *L, int index) {
    return lua_isnil(L, index) ? NULL : lcnn_check_tensor(L, index);
}

/* An argument that gives an array to each input or output of a model. */
typedef struct arrays {
    const char *who, *name;
    int count; /* of the model's inputs or outputs; 1 before it is built */
    char *(*name_of)(char *buffer, size_t capacity, const cnn_model *model, int index);
    void (*convert)(lua_State *L, int index, const char *who, const char *name);
    bool optional; /* not each must be given */
} arrays;

static arrays input_arrays(const cnn_model *model, const char *who, const char *name) {
    return (arrays){.who = who,
                    .name = name,
                    .count = model->n_inputs > 0 ? model->n_inputs : 1,
                    .name_of = cnn_model_input_name,
                    .convert = lcnn_convert};
}

static arrays output_arrays(const cnn_model *model, const char *who, const char *name) {
    return (arrays){.who = who,
                    .name = name,
                    .count = model->n_outputs > 0 ? model->n_outputs : 1,
                    .name_of = cnn_model_output_name,
                    .convert = lcnn_convert};
}

static arrays weight_arrays(const cnn_model *model, const char *who) {
    arrays a = output_arrays(model, who, "sample_weight");
    a.convert = convert_weight;
    a.optional = true;
    return a;
}

/* Tables are {x1, x2} or {left = x1, right = x2}, or a lone array of numbers. */
static bool goes_by_name(lua_State *L, int index) {
    lua_pushnil(L);
    if (!lua_next(L, index)) return false;
    bool named = lua_type(L, -2) == LUA_TSTRING;
    lua_pop(L, 2);
    return named;
}

static bool goes_by_position(lua_State *L, int index, const arrays *a) {
    lua_rawgeti(L, index, 1);
    int type = lua_type(L, -1);
    bool tensor = luaL_testudata(L, -1, LCNN_TENSOR);
    lua_pop(L, 1);
    bool number = type == LUA_TNUMBER || type == LUA_TBOOLEAN || lua_rawlen(L, index) == 0;
    return tensor || (a->count > 1 && !number);
}

/* That the table at index has no other names than those of the model. */
static void check_names(lua_State *L, const cnn_model *model, int index, const arrays *a) {
    char name[CNN_NAME_TEXT];
    lua_createtable(L, 0, a->count);
    int names = lua_gettop(L);
    for (int i = 0; i < a->count; i++) {
        lua_pushboolean(L, true);
        lua_setfield(L, names, a->name_of(name, sizeof name, model, i));
    }
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 2)) {
        lua_pushvalue(L, -2);
        if (lua_rawget(L, names) == LUA_TBOOLEAN) continue;
        const char *word = luaL_tolstring(L, -3, NULL);
        const char *who = lua_pushfstring(L, "%s: '%s'", a->who, a->name);
        lcnn_unknown(L, who, "the model has no", word, names);
    }
    lua_pop(L, 1);
}

/* Brings a table by names into the order of the model, in a new table in its place. */
static void order_by_name(lua_State *L, const cnn_model *model, int index, const arrays *a) {
    char name[CNN_NAME_TEXT];
    check_names(L, model, index, a);
    lua_createtable(L, a->count, 0);
    for (int i = 0; i < a->count; i++) {
        lua_pushstring(L, a->name_of(name, sizeof name, model, i));
        if (lua_rawget(L, index) == LUA_TNIL) {
            if (!a->optional)
                lcnn_fail(L, "%s: '%s' has none for '%s' of model '%s'", a->who, a->name, name,
                          model->layer.name);
            lua_pop(L, 1);
            lua_pushlightuserdata(L, NULL);
        }
        lua_rawseti(L, -2, i + 1);
    }
    lua_replace(L, index);
}

/* Leaves at index a tensor, nil, or a table of tensors in the model's order, cnn.null where there is none. */
static void convert_arrays(lua_State *L, const cnn_model *model, int index, arrays a) {
    bool table = lua_type(L, index) == LUA_TTABLE, named = table && goes_by_name(L, index);
    luaL_checkstack(L, 12, "arguments");
    if (!named && !(table && goes_by_position(L, index, &a))) {
        a.convert(L, index, a.who, a.name);
        return;
    }
    if (named) order_by_name(L, model, index, &a);
    int count = (int)lua_rawlen(L, index);
    if (count > MAX_TENSORS)
        lcnn_fail(L, "%s: '%s' is a list of %d; at most %d are possible", a.who, a.name, count, MAX_TENSORS);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        char of[CNN_NAME_TEXT] = "?";
        if (i < a.count) a.name_of(of, sizeof of, model, i);
        const char *name = lua_pushfstring(L, "%s '%s'", a.name, of);
        lua_rawgeti(L, index, i + 1);
        bool none = lua_isnil(L, -1) || (lua_islightuserdata(L, -1) && !lua_touserdata(L, -1));
        if (none && !a.optional) lcnn_fail(L, "%s: %s is missing", a.who, name);
        if (!none) a.convert(L, lua_gettop(L), a.who, a.count > 1 ? name : a.name);
        if (none) {
            lua_pop(L, 1);
            lua_pushlightuserdata(L, NULL);
        }
        lua_rawseti(L, -3, i + 1);
        lua_pop(L, 1);
    }
    lua_replace(L, index);
}

/* What convert_arrays left at index, as the core takes it: a lone tensor, or items for those of a table. */
static void fetch_arrays(lua_State *L, int index, cnn_tensor **one, cnn_tensor_list *several,
                         cnn_tensor **items) {
    if (lua_type(L, index) != LUA_TTABLE) {
        *one = converted(L, index);
        return;
    }
    *several = (cnn_tensor_list){items, (int)lua_rawlen(L, index)};
    for (int i = 0; i < several->count; i++) {
        bool none = lua_rawgeti(L, index, i + 1) == LUA_TLIGHTUSERDATA;
        items[i] = none ? NULL : lcnn_check_tensor(L, -1);
        lua_pop(L, 1);
    }
}

/* Takes a dataset away from index, where arrays may stand too, and keeps it on the stack; NULL if there is none. */
static cnn_dataset *take_dataset(lua_State *L, int index) {
    cnn_dataset *dataset = lcnn_test_dataset(L, index);
    if (!dataset) return NULL;
    lua_pushvalue(L, index);
    lua_pushnil(L);
    lua_replace(L, index);
    return dataset;
}

/* Memory for the lists of samples. */
typedef struct sample_lists {
    cnn_tensor *x[MAX_TENSORS], *y[MAX_TENSORS], *weight[MAX_TENSORS];
} sample_lists;

static void convert_samples(lua_State *L, const cnn_model *model, const char *who, int x, int y, int weight) {
    convert_arrays(L, model, x, input_arrays(model, who, "x"));
    convert_arrays(L, model, y, output_arrays(model, who, "y"));
    convert_arrays(L, model, weight, weight_arrays(model, who));
}

static void fetch_samples(lua_State *L, int x, int y, int weight, cnn_fit_options *o, sample_lists *lists) {
    fetch_arrays(L, x, &o->x, &o->xs, lists->x);
    fetch_arrays(L, y, &o->y, &o->ys, lists->y);
    fetch_arrays(L, weight, &o->sample_weight, &o->sample_weights, lists->weight);
}

static void fetch_validation(lua_State *L, int first, cnn_fit_options *o, sample_lists *lists) {
    fetch_arrays(L, first, &o->validation_x, &o->validation_xs, lists->x);
    fetch_arrays(L, first + 1, &o->validation_y, &o->validation_ys, lists->y);
    fetch_arrays(L, first + 2, &o->validation_sample_weight, &o->validation_sample_weights, lists->weight);
}

static int count_argument(lua_State *L, const char *who, const char *const *names, const char *name,
                          int low) {
    int index = place(names, name), whole;
    if (lua_isnil(L, index)) return 0;
    lua_Integer value = lua_tointegerx(L, index, &whole);
    if (!whole || value < low || value > INT32_MAX)
        lcnn_fail(L, "%s: '%s' must be an integer of at least %d, got %s", who, name, low,
                  lcnn_describe(L, index));
    return (int)value;
}

static int verbose_argument(lua_State *L, const char *who, int index, int most) {
    if (lua_isnil(L, index)) return 1;
    if (lua_type(L, index) == LUA_TBOOLEAN) return lua_toboolean(L, index);
    if (lua_type(L, index) == LUA_TSTRING && strcmp(lua_tostring(L, index), "auto") == 0) return 1;
    int whole;
    lua_Integer value = lua_tointegerx(L, index, &whole);
    if (!whole || value < 0 || value > most)
        lcnn_fail(L, "%s: 'verbose' must be 0, 1, 2%s or \"auto\", got %s", who, most > 2 ? ", 3" : "",
                  lcnn_describe(L, index));
    return (int)value;
}

/* {[0] = 1, [1] = 2.5}: labels are data, so they count from 0. Anchored on the stack. */
static void class_weights(lua_State *L, int index, cnn_fit_options *o) {
    if (lua_isnil(L, index)) return;
    static const char expected[] =
        "fit: 'class_weight' must give numbers by label, as in {[0] = 1, [1] = 2.5}";
    if (lua_type(L, index) != LUA_TTABLE) lcnn_fail(L, expected);
    lua_Integer last = -1;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        int whole = 0;
        lua_Integer label = lua_type(L, -2) == LUA_TNUMBER ? lua_tointegerx(L, -2, &whole) : 0;
        if (!whole || label < 0 || label > 1000000 || lua_type(L, -1) != LUA_TNUMBER) lcnn_fail(L, expected);
        if (label > last) last = label;
    }
    float *weights = lua_newuserdatauv(L, (size_t)(last + 1) * sizeof *weights, 0);
    for (lua_Integer i = 0; i <= last; i++) {
        lua_rawgeti(L, index, i);
        weights[i] = lua_isnil(L, -1) ? 1 : (float)lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    o->class_weight = weights;
    o->class_weight_count = (int)last + 1;
}

/* {x, y} or {x, y, sample_weight} at index; pushes what convert_samples leaves and returns where it begins. */
static int convert_validation_data(lua_State *L, const cnn_model *model, int index) {
    static const char fit_validation[] = "fit: validation_data";
    int first = lua_gettop(L) + 1;
    bool given = !lua_isnil(L, index);
    int count = given && lua_type(L, index) == LUA_TTABLE ? (int)lua_rawlen(L, index) : 0;
    if (given && (count < 2 || count > 3))
        lcnn_fail(L, "fit: 'validation_data' must be {x, y}, {x, y, sample_weight} or a dataset");
    for (int i = 0; i < 3; i++) {
        if (given)
            lua_rawgeti(L, index, i + 1);
        else
            lua_pushnil(L);
    }
    convert_samples(L, model, fit_validation, first, first + 1, first + 2);
    return first;
}

/* ---- notes ------------------------------------------------------------------------------------------------------------ */

/* What belongs to one model's userdata: a table by name, in its user value. */
static void push_notes(lua_State *L, int model) {
    if (lua_getiuservalue(L, model, 1) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, model, 1);
}

/* ---- verbose = 3 ------------------------------------------------------------------------------------------------------ */

/* Puts the callback that draws curves before those at index, and pushes it; returns where it is. Without a terminal to
 * draw in, 0. Either way verbose becomes what the core is to show. */
static int push_live(lua_State *L, int callbacks, int *verbose) {
    luaL_checkstack(L, 8, "arguments");
    lua_getfield(L, LUA_REGISTRYINDEX, LCNN_LIVE);
    lua_pushvalue(L, callbacks);
    lua_call(L, 1, 2);
    *verbose = lua_isnil(L, -1) ? 2 : 1;
    if (*verbose == 2) return 0;
    lua_pushvalue(L, -2);
    lua_replace(L, callbacks);
    return lua_gettop(L);
}

/* Whatever has ended the run. If that was the program's hook, by which it stops Lua code, it waits until this is done. */
static void finish_live(lua_State *L, int live) {
    lua_Hook hook = lua_gethook(L);
    int mask = lua_gethookmask(L), count = lua_gethookcount(L);
    lua_sethook(L, NULL, 0, 0);
    lua_getfield(L, live, "finish");
    lua_pushvalue(L, live);
    lua_call(L, 1, 0);
    if (hook) lua_sethook(L, hook, mask, count);
}

/* ---- the loops ---------------------------------------------------------------------------------------------------------- */

/*** Trains the model: each epoch shows it all samples, batch by batch, with an optimizer step a batch.
An epoch's loss and metrics are means over its samples, each batch measured before its step; those on validation
data (`val_loss`, …) are measured after the epoch, with the weights as they are then, without Dropout and the like.
A last batch may be smaller. Weighted losses are divided by the number of samples, not by the sum of the weights.
Calling fit again goes on with the weights and the optimizer as they are. Ctrl-C ends it with an error that leaves
the model consistent, and model.history with what was measured.

With a dataset, the batches are its elements: x and y, or x, y and sample weights; it shuffles and batches by
itself. `augment` changes pictures in worker threads, ahead of training: what dataset:map takes, such as a pipeline
of cnn.augment; it is given x and y, and never the validation data.
@function model:fit
@tparam tensor|table|dataset x samples {n, …}: a tensor or nested tables of numbers; of several inputs a list of
tensors, or a table by the input layers' names
@tparam[opt] tensor|table y labels {n} or {n, …}; of several outputs likewise; left out with a dataset
@tparam[opt=32] int batch_size not with a dataset
@tparam[opt=1] int epochs the number of the last epoch: with initial_epoch, fewer are run
@tparam[opt=1] int|bool|string verbose 0 silent, 1 a bar, 2 a line an epoch, 3 a curve of the loss that grows;
"auto" is 1
@tparam[opt] {callback,...} callbacks of cnn.callbacks, or tables of functions (see callback); a lone one may stand
for a list of one
@tparam[opt=0] number validation_split the last part of x and y, such as 0.25, is kept for validation: taken before
shuffling, and not if there are validation_data. Not with a dataset
@tparam[opt] {tensor,...}|dataset validation_data {x, y}, {x, y, sample_weight} or a dataset
@tparam[opt=true] bool shuffle the samples before each epoch
@tparam[opt] table class_weight factors of the loss by label, {[0] = 1, [1] = 2}; of a label that is left out 1
@tparam[opt] tensor|table sample_weight factors {n}; of several outputs one for all, or as y
@tparam[opt=0] int initial_epoch how many epochs count as done: of a run that is gone on with
@tparam[opt] int steps_per_epoch at most so many batches an epoch; of a dataset, the next epoch goes on where this
one ended. It must be given where a dataset repeats for ever
@tparam[opt] int validation_steps at most so many batches for validation
@tparam[opt=1] int validation_freq validation only after every so many epochs
@tparam[opt] pipeline|function augment changes x, and perhaps y, anew for each epoch
@treturn history also in model.history
@raise a model that is not compiled; samples of another shape than the input's, or of different number than labels;
labels that the loss cannot take; an error of a callback, as it is
@usage
model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
model:compile{optimizer = cnn.optimizers.SGD{0.1}, loss = "mse"}
x, y = cnn.tensor{{0}, {1}, {2}, {3}}, cnn.tensor{{1}, {3}, {5}, {7}}
history = model:fit{x, y, epochs = 100, verbose = 0}
#history.history.loss                --> 100
cnn.allclose(model.layers[1].kernel, cnn.tensor{{2}}, 0, 0.1)  --> true
history = model:fit{x, y, epochs = 2, validation_split = 0.25, batch_size = 1, verbose = 0}
history.history.val_loss[2] < 0.1    --> true
model:fit{x, y, epoch = 5}           --> error: fit: unknown argument 'epoch' (did you mean 'epochs'?)
*/
static int fit(lua_State *L) {
    cnn_model *model = lcnn_check_model(L, 1);
    const char *const *n = fit_names;
    lcnn_args(L, 2, "fit", n);
    cnn_fit_options o = {.log = stdout};
    o.batch_size = count_argument(L, "fit", n, "batch_size", 1);
    o.epochs = count_argument(L, "fit", n, "epochs", 1);
    o.initial_epoch = count_argument(L, "fit", n, "initial_epoch", 0);
    o.steps_per_epoch = count_argument(L, "fit", n, "steps_per_epoch", 1);
    o.validation_steps = count_argument(L, "fit", n, "validation_steps", 1);
    o.validation_freq = count_argument(L, "fit", n, "validation_freq", 1);
    o.verbose = verbose_argument(L, "fit", place(n, "verbose"), 3);
    int split = place(n, "validation_split");
    if (!lua_isnil(L, split)) o.validation_split = lcnn_check_number(L, split, "fit", "validation_split");
    int shuffle = place(n, "shuffle");
    o.no_shuffle = !lcnn_opt_boolean(L, shuffle, "fit", "shuffle", true);
    class_weights(L, place(n, "class_weight"), &o);
    int x = place(n, "x"), y = place(n, "y"), weight = place(n, "sample_weight");
    o.dataset = take_dataset(L, x);
    o.validation_dataset = take_dataset(L, place(n, "validation_data"));
    convert_samples(L, model, "fit", x, y, weight);
    int validation = convert_validation_data(L, model, place(n, "validation_data"));
    int live = o.verbose == 3 ? push_live(L, place(n, "callbacks"), &o.verbose) : 0;
    o.callback_count = lcnn_callbacks(L, place(n, "callbacks"), 1, &o.callbacks);
    cnn_history **history = lcnn_new_history(L);
    int box = lua_gettop(L);
    push_notes(L, 1);

    sample_lists train_lists, validation_lists;
    fetch_samples(L, x, y, weight, &o, &train_lists);
    fetch_validation(L, validation, &o, &validation_lists);
    cnn_status status = cnn_model_fit(model, &o, history);
    if (live) finish_live(L, live);
    if (*history) {
        lcnn_push_history(L, box);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "history");
    }
    lcnn_check_run(L, status, o.callbacks, o.callback_count);
    return 1;
}

/* The figures as values, or as a table by name. */
static int push_figures(lua_State *L, const cnn_model *model, const double *values, bool as_table) {
    int count = cnn_model_metric_count(model);
    luaL_checkstack(L, count + 2, "metrics");
    if (as_table) lua_createtable(L, 0, count);
    for (int i = 0; i < count; i++) {
        lua_pushnumber(L, values[i]);
        if (as_table) lua_setfield(L, -2, cnn_model_metric_name(model, i));
    }
    return as_table ? 1 : count;
}

/*** Measures loss and metrics over samples, without training: Dropout and the like are as in inference.
Figures are means over the samples, whatever the batches.
@function model:evaluate
@tparam tensor|table|dataset x samples, or a dataset of batches, as of fit
@tparam[opt] tensor|table y labels; left out with a dataset
@tparam[opt=32] int batch_size changes nothing but speed and memory
@tparam[opt=1] int|bool|string verbose 0 silent; 1 a bar
@tparam[opt] tensor|table sample_weight factors of the samples' losses
@tparam[opt] int steps at most so many batches
@tparam[opt] {callback,...} callbacks with on_test_begin and the like
@tparam[opt=false] bool return_dict a table by name instead of several values
@treturn number the loss; then of several outputs the loss of each; then each metric: in the order of
model.metrics_names
@usage
model = cnn.Sequential{layers.Dense{2, activation = "softmax", kernel_initializer = "zeros", input_shape = {3}}}
model:compile{loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
x, y = cnn.ones{4, 3}, cnn.tensor({0, 0, 0, 1}, "int32")
loss, accuracy = model:evaluate{x, y, verbose = 0}
accuracy                             --> 0.75
("%.4f"):format(loss) == ("%.4f"):format(math.log(2))  --> true
model:evaluate{x, y, verbose = 0, return_dict = true}.accuracy  --> 0.75
*/
static int evaluate(lua_State *L) {
    cnn_model *model = lcnn_check_model(L, 1);
    const char *const *n = evaluate_names;
    lcnn_args(L, 2, "evaluate", n);
    cnn_fit_options o = {.log = stdout};
    o.batch_size = count_argument(L, "evaluate", n, "batch_size", 1);
    o.validation_steps = count_argument(L, "evaluate", n, "steps", 1);
    o.verbose = verbose_argument(L, "evaluate", place(n, "verbose"), 2);
    int x = place(n, "x"), y = place(n, "y"), weight = place(n, "sample_weight");
    o.dataset = take_dataset(L, x);
    convert_samples(L, model, "evaluate", x, y, weight);
    o.callback_count = lcnn_callbacks(L, place(n, "callbacks"), 1, &o.callbacks);
    sample_lists lists;
    fetch_samples(L, x, y, weight, &o, &lists);
    double values[CNN_MAX_FIGURES];
    cnn_status status = cnn_model_evaluate(model, &o, values, CNN_MAX_FIGURES);
    lcnn_check_run(L, status, o.callbacks, o.callback_count);
    return push_figures(L, model, values, lua_toboolean(L, place(n, "return_dict")));
}

/* The outputs for what convert_arrays left at x. */
static int push_predictions(lua_State *L, cnn_model *model, int x, cnn_fit_options *o) {
    int count = model->n_outputs > 0 ? model->n_outputs : 1;
    cnn_tensor **results = lcnn_new_list(L, count), *items[MAX_TENSORS];
    fetch_arrays(L, x, &o->x, &o->xs, items);
    cnn_status status = cnn_model_predict_all(results, model, o);
    lcnn_check_run(L, status, o->callbacks, o->callback_count);
    lcnn_push_list(L, count);
    if (count == 1) lua_rawgeti(L, -1, 1);
    return 1;
}

/*** Computes the model's output for samples, batch by batch.
The same as model(x) but for memory and speed: however many samples there are, only a batch is worked on at a time.
The model need not be compiled.
@function model:predict
@tparam tensor|table|dataset x samples {n, …}; of several inputs as in fit; or a dataset, whose labels are not
looked at
@tparam[opt=32] int batch_size
@tparam[opt=1] int|bool|string verbose 0 silent; 1 a bar
@tparam[opt] int steps at most so many batches
@tparam[opt] {callback,...} callbacks with on_predict_begin and the like
@treturn tensor {n, …}; of several outputs a list of tensors
@usage
model = cnn.Sequential{layers.Dense{2, activation = "softmax", kernel_initializer = "zeros", input_shape = {3}}}
model:predict{cnn.ones{2, 3}, verbose = 0}
--> float32 (2, 2)
--> [[0.5 0.5]
-->  [0.5 0.5]]
model:predict{cnn.ones{100, 3}, verbose = 0}:argmax(2):shape()  --> {100}
*/
static int predict(lua_State *L) {
    cnn_model *model = lcnn_check_model(L, 1);
    const char *const *n = predict_names;
    lcnn_args(L, 2, "predict", n);
    cnn_fit_options o = {.log = stdout};
    o.batch_size = count_argument(L, "predict", n, "batch_size", 1);
    o.validation_steps = count_argument(L, "predict", n, "steps", 1);
    o.verbose = verbose_argument(L, "predict", place(n, "verbose"), 2);
    o.dataset = take_dataset(L, place(n, "x"));
    convert_arrays(L, model, place(n, "x"), input_arrays(model, "predict", "x"));
    o.callback_count = lcnn_callbacks(L, place(n, "callbacks"), 1, &o.callbacks);
    return push_predictions(L, model, place(n, "x"), &o);
}

/*** Computes the model's output for samples, all in one batch.
@function model:predict_on_batch
@tparam tensor|table x samples {n, …}; of several inputs as in fit
@treturn tensor {n, …}; of several outputs a list of tensors
@usage
model = cnn.Sequential{layers.Dense{1, kernel_initializer = "ones", input_shape = {2}}}
model:predict_on_batch(cnn.ones{3, 2}):tolist()  --> {{2.0}, {2.0}, {2.0}}
*/
static int predict_on_batch(lua_State *L) {
    enum { X = 2 };
    cnn_model *model = lcnn_check_model(L, 1);
    lcnn_args(L, 2, "predict_on_batch", (const char *const[]){"*x", NULL});
    convert_arrays(L, model, X, input_arrays(model, "predict_on_batch", "x"));
    cnn_fit_options o = {.batch_size = INT_MAX};
    return push_predictions(L, model, X, &o);
}

/* The figures of one batch, in an optimizer step or without. */
static int measure_batch(lua_State *L, const char *who, bool trains) {
    cnn_model *model = lcnn_check_model(L, 1);
    enum { X = 2, Y, WEIGHT, RETURN_DICT };
    static const char *const n[] = {"x", "y", "sample_weight", "return_dict", NULL};
    lcnn_args(L, 2, who, n);
    convert_samples(L, model, who, X, Y, WEIGHT);
    cnn_fit_options o = {0};
    sample_lists lists;
    fetch_samples(L, X, Y, WEIGHT, &o, &lists);
    if (!trains) o.batch_size = INT_MAX;
    double values[CNN_MAX_FIGURES];
    lcnn_check(L, trains ? cnn_model_train_step(model, &o, values, CNN_MAX_FIGURES)
                         : cnn_model_evaluate(model, &o, values, CNN_MAX_FIGURES));
    return push_figures(L, model, values, lua_toboolean(L, RETURN_DICT));
}

/*** Takes one optimizer step on one batch.
@function model:train_on_batch
@tparam tensor|table x samples, all in one batch
@tparam tensor|table y labels
@tparam[opt] tensor|table sample_weight factors of the samples' losses
@tparam[opt=false] bool return_dict a table by name instead of several values
@treturn number the loss, then the rest, as of evaluate, on this batch before the step
@usage
model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
model:compile{optimizer = cnn.optimizers.SGD{0.25}, loss = "mse"}
model:train_on_batch({{1}}, {{2}})   --> 4.0
model:train_on_batch({{1}}, {{2}})   --> 0.0
*/
static int train_on_batch(lua_State *L) {
    return measure_batch(L, "train_on_batch", true);
}

/*** Measures loss and metrics of one batch, as evaluate does, of these samples alone.
@function model:test_on_batch
@tparam tensor|table x samples, all in one batch
@tparam tensor|table y labels
@tparam[opt] tensor|table sample_weight factors of the samples' losses
@tparam[opt=false] bool return_dict a table by name instead of several values
@treturn number the loss, then the rest, as of evaluate
@usage
model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
model:compile{optimizer = "sgd", loss = "mse"}
model:test_on_batch{{{1}, {1}}, {{2}, {4}}}  --> 10.0
*/
static int test_on_batch(lua_State *L) {
    return measure_batch(L, "test_on_batch", false);
}

/*** Prints where time goes: the plan's passes and ops, what was fused into them, times forward and backward, GFLOP/s and
their share of what the processor's multiply-adds reach.
With y, of training steps, after which the model is as it was before; without, of predictions.
@function model:profile
@tparam tensor|table x samples
@tparam[opt] tensor|table y labels; the model must be compiled then
@tparam[opt=32] int batch_size the first so many samples are taken
@tparam[opt] function print_fn called with the text instead of printing it
@usage
model = cnn.Sequential{layers.Dense{2, input_shape = {3}}}
model:profile(cnn.zeros{8, 3})
--> sequential: prediction, batch 8...
--> ...
*/
static int profile(lua_State *L) {
    enum { X = 2, Y, BATCH_SIZE, PRINT };
    static const char *const n[] = {"x", "y", "batch_size", "print_fn", NULL};
    cnn_model *model = lcnn_check_model(L, 1);
    lcnn_args(L, 2, "profile", n);
    if (!lua_isnil(L, PRINT) && lua_type(L, PRINT) != LUA_TFUNCTION)
        lcnn_fail(L, "profile: 'print_fn' must be a function, got %s", lcnn_describe(L, PRINT));
    lua_pushnil(L); /* in place of weights */
    convert_samples(L, model, "profile", X, Y, lua_gettop(L));
    cnn_fit_options o = {.batch_size = count_argument(L, "profile", n, "batch_size", 1)};
    sample_lists lists;
    fetch_samples(L, X, Y, lua_gettop(L), &o, &lists);
    char *text;
    lcnn_check(L, cnn_model_profile(&text, model, &o));
    lcnn_push_text(L, text);
    if (lua_isnil(L, PRINT)) {
        lua_getglobal(L, "io");
        lua_getfield(L, -1, "write");
        lua_replace(L, PRINT);
        lua_pop(L, 1);
    }
    lua_pushvalue(L, PRINT);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 0);
    return 0;
}

/* ---- fields ------------------------------------------------------------------------------------------------------------- */

/* The live optimizer of a compiled model; it holds the model. */
#define OPTIMIZER "cnn.optimizer"

static cnn_optimizer *check_optimizer(lua_State *L) {
    luaL_checkudata(L, 1, OPTIMIZER);
    lua_getiuservalue(L, 1, 1);
    const cnn_model *model = lcnn_check_model(L, -1);
    lua_pop(L, 1);
    return model->trainer->optimizer;
}

static int optimizer_index(lua_State *L) {
    const cnn_optimizer *optimizer = check_optimizer(L);
    const char *name = luaL_checkstring(L, 2);
    if (strcmp(name, "learning_rate") == 0) {
        lua_pushnumber(L, cnn_optimizer_rate(optimizer));
    } else if (strcmp(name, "iterations") == 0) {
        lua_pushinteger(L, optimizer->iterations);
    } else if (strcmp(name, "class_name") == 0) {
        lua_pushstring(L, optimizer->class->name);
    } else {
        cJSON *json = cnn_optimizer_config(optimizer);
        if (!json) lcnn_fail(L, "out of memory");
        lcnn_own_json(L, json);
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
        if (!item) lcnn_fail(L, "%s: there is no field '%s'", optimizer->class->name, name);
        lcnn_push_json(L, item);
    }
    return 1;
}

static int optimizer_newindex(lua_State *L) {
    cnn_optimizer *optimizer = check_optimizer(L);
    if (strcmp(luaL_checkstring(L, 2), "learning_rate") != 0)
        lcnn_fail(L, "%s: only 'learning_rate' can be set", optimizer->class->name);
    lcnn_check(L, cnn_optimizer_set_rate(optimizer, luaL_checknumber(L, 3)));
    return 0;
}

static int optimizer_tostring(lua_State *L) {
    lua_pushfstring(L, "<%s>", check_optimizer(L)->class->name);
    return 1;
}

static void push_optimizer(lua_State *L, const cnn_model *model) {
    if (!model->trainer || !model->trainer->optimizer) {
        lua_pushnil(L);
        return;
    }
    lua_newuserdatauv(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, OPTIMIZER);
}

static void push_layers(lua_State *L, const cnn_model *model) {
    lua_createtable(L, model->layer_count, 0);
    for (int i = 0; i < model->layer_count; i++) {
        lcnn_push_layer(L, model->layers[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_names(lua_State *L, const cnn_model *model) {
    lua_newtable(L);
    for (int i = 0; i < cnn_model_metric_count(model); i++) {
        lua_pushstring(L, cnn_model_metric_name(model, i));
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_tensors(lua_State *L, cnn_tensor *const *list, int count) {
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lcnn_push_tensor(L, cnn_tensor_retain(list[i]));
        lua_rawseti(L, -2, i + 1);
    }
}

/* The shape of the only tensor, or nil before the model is built. */
static void push_only_shape(lua_State *L, cnn_tensor *const *list, int count) {
    if (count == 0)
        lua_pushnil(L);
    else
        lcnn_push_shape(L, list[0]->rank, list[0]->shape);
}

/* The only one itself, several as a list; nil before there is any. */
static void push_one_or_list(lua_State *L, cnn_tensor *const *list, int count) {
    if (count == 0)
        lua_pushnil(L);
    else if (count == 1)
        lcnn_push_tensor(L, cnn_tensor_retain(list[0]));
    else
        push_tensors(L, list, count);
}

/* What compile made of the loss; of several outputs a list. */
static void push_loss(lua_State *L, const cnn_model *model) {
    const cnn_trainer *t = model->trainer && model->trainer->optimizer ? model->trainer : NULL;
    int count = t ? t->target_count : 0;
    if (count != 1) lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        const cnn_object *loss = t->targets[i].loss;
        lcnn_push_spec(L, loss->class, cnn_object_config(loss));
        if (count > 1) lua_rawseti(L, -2, i + 1);
    }
    if (count == 0) lua_pushnil(L);
}

static const char *const model_fields[] = {
    "layers", "optimizer",   "loss",         "metrics_names", "inputs",  "outputs", "input",
    "output", "input_shape", "output_shape", "stop_training", "history", NULL};

static bool model_field(lua_State *L, cnn_model *model, const char *name) {
    if (strcmp(name, "layers") == 0)
        push_layers(L, model);
    else if (strcmp(name, "optimizer") == 0)
        push_optimizer(L, model);
    else if (strcmp(name, "metrics_names") == 0)
        push_names(L, model);
    else if (strcmp(name, "inputs") == 0)
        push_tensors(L, model->inputs, model->n_inputs);
    else if (strcmp(name, "outputs") == 0)
        push_tensors(L, model->outputs, model->n_outputs);
    else if (strcmp(name, "input") == 0)
        push_one_or_list(L, model->inputs, model->n_inputs);
    else if (strcmp(name, "output") == 0)
        push_one_or_list(L, model->outputs, model->n_outputs);
    else if (strcmp(name, "loss") == 0)
        push_loss(L, model);
    else if (strcmp(name, "input_shape") == 0)
        push_only_shape(L, model->inputs, model->n_inputs);
    else if (strcmp(name, "output_shape") == 0)
        push_only_shape(L, model->outputs, model->n_outputs);
    else if (strcmp(name, "stop_training") == 0)
        lua_pushboolean(L, model->run && model->run->stop_training);
    else if (strcmp(name, "history") == 0) {
        push_notes(L, 1);
        lua_getfield(L, -1, "history");
    } else
        return lcnn_layer_field(L, &model->layer, name);
    return true;
}

static int model_index(lua_State *L) {
    cnn_model *model = lcnn_check_model(L, 1);
    const char *name = luaL_checkstring(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    if (!model_field(L, model, name)) return lcnn_unknown_field(L, &model->layer, name, model_fields);
    return 1;
}

static int model_newindex(lua_State *L) {
    cnn_model *model = lcnn_check_model(L, 1);
    if (strcmp(luaL_checkstring(L, 2), "stop_training") != 0) return lcnn_layer_newindex(L);
    if (model->run) model->run->stop_training = lua_toboolean(L, 3);
    return 0;
}

static int model_tostring(lua_State *L) {
    const cnn_model *model = lcnn_check_model(L, 1);
    lua_pushfstring(L, "<%s '%s', %d layer%s>", model->layer.class->name, model->layer.name,
                    model->layer_count, model->layer_count == 1 ? "" : "s");
    return 1;
}

static const luaL_Reg methods[] = {{"add", add},
                                   {"pop", pop},
                                   {"summary", summary},
                                   {"get_layer", get_layer},
                                   {"compile", compile},
                                   {"fit", fit},
                                   {"evaluate", evaluate},
                                   {"predict", predict},
                                   {"train_on_batch", train_on_batch},
                                   {"test_on_batch", test_on_batch},
                                   {"predict_on_batch", predict_on_batch},
                                   {"profile", profile},
                                   {NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__gc", lcnn_layer_gc},
                                       {"__eq", lcnn_layer_eq},
                                       {"__call", lcnn_layer_call},
                                       {"__newindex", model_newindex},
                                       {"__tostring", model_tostring},
                                       {"__carry", lcnn_layer_carry},
                                       {NULL, NULL}};
static const luaL_Reg functions[] = {{"Sequential", new_sequential}, {"Model", new_model}, {NULL, NULL}};

int lcnn_open_model(lua_State *L) {
    luaL_newmetatable(L, LCNN_MODEL);
    luaL_setfuncs(L, metamethods, 0);
    lua_newtable(L);
    lcnn_add_layer_methods(L);
    luaL_setfuncs(L, methods, 0);
    luaL_setfuncs(L, lcnn_graph_methods, 0);
    luaL_setfuncs(L, lcnn_saving_methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, 1, "model_methods"); /* for the methods that are written in Lua */
    lua_pushcclosure(L, model_index, 1);
    lua_setfield(L, -2, "__index");

    luaL_newmetatable(L, OPTIMIZER);
    lua_pushcfunction(L, optimizer_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, optimizer_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, optimizer_tostring);
    lua_setfield(L, -2, "__tostring");

    lua_pushvalue(L, 1);
    luaL_setfuncs(L, functions, 0);
    return 0;
}
