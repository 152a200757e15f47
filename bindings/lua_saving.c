/* Models and their weights to files and back. */
#include "lua_layer.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

static bool opt_flag(lua_State *L, int index, bool fallback) {
    return lua_isnil(L, index) ? fallback : lua_toboolean(L, index);
}

/* What could not be taken over from a file: a line each on the standard error stream. */
static void print_notes(const char *who, char *notes) {
    for (char *rest = notes, *line; (line = strsep(&rest, "\n"));)
        if (*line) fprintf(stderr, "%s: %s\n", who, line);
    free(notes);
}

/* ---- layers written in Lua, out of files ------------------------------------------------------------------- */

/* A call of custom_objects[class_name]. */
typedef struct making {
    const char *class_name, *config;
    cnn_layer *layer; /* retained; NULL if there is no such constructor */
} making;

/* In protected mode, on a stack of its own: the making, the table or nil. */
static int make_in_lua(lua_State *L) {
    making *m = lua_touserdata(L, 1);
    if (lua_isnil(L, 2) || lua_getfield(L, 2, m->class_name) == LUA_TNIL) return 0;
    cJSON *json;
    lcnn_check(L, cnn_json_parse(&json, m->class_name, m->config));
    lcnn_own_json(L, json);
    lcnn_push_json(L, json);
    lua_remove(L, -2);
    lua_call(L, 1, 1);
    cnn_layer *layer = lcnn_test_layer(L, -1);
    if (!layer)
        return lcnn_fail(L, "custom_objects: '%s' must make a layer, got %s", m->class_name,
                         lcnn_describe(L, -1));
    m->layer = cnn_layer_retain(layer);
    return 0;
}

typedef struct layer_maker {
    lua_State *L;
    int objects; /* stack index of the table, or of nil */
} layer_maker;

static cnn_status make_layer(cnn_layer **out, const char *class_name, const char *config, void *data) {
    const layer_maker *maker = data;
    lua_State *L = maker->L;
    if (!lua_checkstack(L, 8)) return cnn_fail(CNN_ERROR_CALLBACK, "Lua's stack is full");
    making m = {.class_name = class_name, .config = config};
    lua_pushcfunction(L, make_in_lua);
    lua_pushlightuserdata(L, &m);
    lua_pushvalue(L, maker->objects);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK) {
        if (!m.layer)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "unknown class '%s'; of one written in Lua, give the constructor: "
                            "custom_objects = {%s = …}",
                            class_name, class_name);
        *out = m.layer;
        return CNN_OK;
    }
    const char *message = lua_tostring(L, -1);
    cnn_status status = cnn_fail(CNN_ERROR_CALLBACK, "%s", message ? message : "an error that is no string");
    lua_pop(L, 1);
    return status;
}

/* The table at index, or nil. */
static cnn_load_options load_options(lua_State *L, const char *who, int index, layer_maker *maker) {
    if (!lua_isnil(L, index) && lua_type(L, index) != LUA_TTABLE)
        lcnn_fail(L, "%s: 'custom_objects' must be a table of constructors, got %s", who,
                  lcnn_describe(L, index));
    maker->L = L;
    maker->objects = index;
    return (cnn_load_options){.make_layer = make_layer, .make_layer_data = maker};
}

/* ---- models ------------------------------------------------------------------------------------------------ */

/*** Reads a model from a file that Keras (2.2 or later) or cnnlua wrote: HDF5 or .keras, whatever the file's name.
What compile was given and the optimizer's state are taken over, so that training can go on. What cannot be taken over
is told in a line on the standard error stream.
@function cnn.load_model
@tparam text filepath
@tparam[opt] table custom_objects constructors of layers written in Lua, by the names of their classes
@tparam[opt=true] bool compile whether to take over optimizer, loss and metrics
@treturn model
@raise a file that is not there, or holds no model; a class that is not known
@usage
model = cnn.Sequential{layers.Dense{2, input_shape = {3}}}
model:compile{optimizer = "sgd", loss = "mse"}
model:save "model.keras"
again = cnn.load_model "model.keras"
x = cnn.random.normal{4, 3}
cnn.allclose(model:predict{x, verbose = 0}, again:predict{x, verbose = 0})               --> true
*/
static int load_model(lua_State *L) {
    enum { PATH = 1, OBJECTS, COMPILE };
    static const char *const names[] = {"filepath", "custom_objects", "compile", NULL};
    lcnn_args(L, 1, "load_model", names);
    const char *path = lcnn_check_path(L, PATH, "load_model", "filepath");
    layer_maker maker;
    cnn_load_options options = load_options(L, "load_model", OBJECTS, &maker);
    options.no_compile = !opt_flag(L, COMPILE, true);
    cnn_layer **box = lcnn_new_layer(L, LCNN_MODEL);
    cnn_model *model;
    char *notes = NULL;
    lcnn_check(L, cnn_model_load(&model, path, &options, &notes));
    *box = cnn_model_as_layer(model);
    print_notes(path, notes);
    return 1;
}

/*** A model of the architecture that JSON text tells, with new weights, not compiled.
@function cnn.model_from_json
@tparam text json from model:to_json, of cnnlua or Keras
@tparam[opt] table custom_objects constructors of layers written in Lua, by the names of their classes
@treturn model
@usage
model = cnn.Sequential{layers.Dense{2, input_shape = {3}}}
again = cnn.model_from_json(model:to_json())
again:count_params()               --> 8
*/
static int model_from_json(lua_State *L) {
    enum { JSON = 1, OBJECTS };
    lcnn_args(L, 1, "model_from_json", (const char *const[]){"json", "custom_objects", NULL});
    if (lua_type(L, JSON) != LUA_TSTRING)
        lcnn_fail(L, "model_from_json: 'json' must be a string, got %s", lcnn_describe(L, JSON));
    const char *json = lua_tostring(L, JSON);
    layer_maker maker;
    cnn_load_options options = load_options(L, "model_from_json", OBJECTS, &maker);
    cnn_layer **box = lcnn_new_layer(L, LCNN_MODEL);
    cnn_model *model;
    lcnn_check(L, cnn_model_from_json(&model, json, &options));
    *box = cnn_model_as_layer(model);
    return 1;
}

/*** Writes the model: architecture, weights and, if it is compiled, optimizer, loss, metrics and the optimizer's
state. Keras opens the file, cnn.load_model too. It appears whole or not at all.
@function model:save
@tparam text filepath NAME.keras, as Keras 3 writes it, or NAME.h5 or NAME.hdf5, as Keras 2 does
@tparam[opt=true] bool include_optimizer
@raise another ending; a model that is not built
@usage
model = cnn.Sequential{layers.Dense{2, input_shape = {3}}}
model:save "model.keras"
model:save "model.h5"
cnn.load_model("model.h5"):count_params()                --> 8
*/
static int save(lua_State *L) {
    enum { PATH = 2, OPTIMIZER };
    cnn_model *model = lcnn_check_model(L, 1);
    lcnn_args(L, 2, "save", (const char *const[]){"filepath", "include_optimizer", NULL});
    lcnn_check(
        L, cnn_model_save(model, lcnn_check_path(L, PATH, "save", "filepath"), opt_flag(L, OPTIMIZER, true)));
    return 0;
}

/*** The architecture as JSON text, without weights, as Keras writes it.
@function model:to_json
@treturn text
@usage
model = cnn.Sequential{layers.Dense{2, input_shape = {3}}}
cnn.from_json(model:to_json()).class_name                --> Sequential
*/
static int to_json(lua_State *L) {
    char *text;
    lcnn_check(L, cnn_model_to_json(&text, lcnn_check_model(L, 1)));
    lcnn_push_text(L, text);
    return 1;
}

/*** Writes the weights alone. The file appears whole or not at all.
@function model:save_weights
@tparam text filepath NAME.weights.h5, as Keras 3 writes it, NAME.h5 or NAME.hdf5, as Keras 2 does, or
NAME.safetensors
@raise another ending; a model that is not built
@usage
model = cnn.Sequential{layers.Dense{2, name = "fc", input_shape = {3}}}
model:save_weights "w.safetensors"
cnn.load "w.safetensors"           --> {["fc/bias"] = tensor float32 (2,), ["fc/kernel"] = tensor float32 (3, 2)}
*/
static int save_weights(lua_State *L) {
    cnn_model *model = lcnn_check_model(L, 1);
    lcnn_args(L, 2, "save_weights", (const char *const[]){"filepath", NULL});
    lcnn_check(L, cnn_model_save_weights(model, lcnn_check_path(L, 2, "save_weights", "filepath")));
    return 0;
}

/*** Reads the weights from a file of weights, or of a whole model. All of them change, or, after an error, none.
@function model:load_weights
@tparam text filepath
@tparam[opt=false] bool by_name layers get the weights of those of the same name in the file, others stay as they are;
else all layers with weights in order
@tparam[opt=false] bool skip_mismatch weights of other shapes are left alone, and told on the standard error stream,
instead of an error
@raise a file that does not fit the model
@usage
function build() return cnn.Sequential{layers.Dense{2, input_shape = {3}}} end
a, b = build(), build()
a:save_weights "w.weights.h5"
b:load_weights "w.weights.h5"
cnn.allclose(a:get_weights()[1], b:get_weights()[1])     --> true
*/
static int load_weights(lua_State *L) {
    enum { PATH = 2, BY_NAME, SKIP };
    cnn_model *model = lcnn_check_model(L, 1);
    lcnn_args(L, 2, "load_weights", (const char *const[]){"filepath", "by_name", "skip_mismatch", NULL});
    const char *path = lcnn_check_path(L, PATH, "load_weights", "filepath");
    char *notes = NULL;
    lcnn_check(
        L, cnn_model_load_weights(model, path, lua_toboolean(L, BY_NAME), lua_toboolean(L, SKIP), &notes));
    print_notes(path, notes);
    return 0;
}

const luaL_Reg lcnn_saving_methods[] = {{"save", save},
                                        {"to_json", to_json},
                                        {"save_weights", save_weights},
                                        {"load_weights", load_weights},
                                        {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"load_model", load_model}, {"model_from_json", model_from_json}, {NULL, NULL}};

int lcnn_open_saving(lua_State *L) {
    luaL_setfuncs(L, functions, 0);
    return 0;
}
