/* The wiring of a model in Lua: which layer feeds which, and the symbolic tensors between them. */
#include "lua_layer.h"
#include "model/graph.h"

#include <string.h>

static cnn_model *check_built(lua_State *L, const char *who) {
    cnn_model *model = lcnn_check_model(L, 1);
    lcnn_check(L, cnn_model_expect_built(model, who));
    return model;
}

/* A graph on the stack, freed by the collector whatever happens. */
static int free_graph(lua_State *L) {
    cnn_graph_free(lua_touserdata(L, 1));
    return 0;
}

static cnn_graph *push_graph(lua_State *L, const cnn_model *model) {
    cnn_graph *graph = lua_newuserdatauv(L, sizeof *graph, 0);
    *graph = (cnn_graph){0};
    if (luaL_newmetatable(L, "cnn.graph")) {
        lua_pushcfunction(L, free_graph);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lcnn_check(L, cnn_graph_walk(graph, CNN_EDGES_LAYERS, model->inputs, model->n_inputs, model->outputs,
                                 model->n_outputs));
    return graph;
}

/* "conv2d"; an op applied outside a layer is called by its name and place in the graph, "add#7"; nil for the bare
 * input of a Sequential. */
static void push_name(lua_State *L, const cnn_graph *graph, const cnn_tensor *tensor) {
    const cnn_call *call = cnn_call_of(tensor);
    if (call)
        lua_pushstring(L, call->layer->name);
    else if (tensor->node && tensor->node->op)
        lua_pushfstring(L, "%s#%d", tensor->node->op->class.name, cnn_graph_find(graph, tensor));
    else
        lua_pushnil(L);
}

/*** Which layer's result goes into which layer.
@function model:connections
@treturn {table,...} pairs of names; an op that was applied outside a layer is called by its name and place, such as
"add#3"
@raise a model that is not built
@usage
x = cnn.Input{4, name = "x"}
y = layers.Dense{4, name = "fc"}(x)
model = cnn.Model{inputs = x, outputs = layers.Add{name = "sum"}{x, y}}
model:connections()                  --> {{"x", "fc"}, {"x", "sum"}, {"fc", "sum"}}
*/
static int connections(lua_State *L) {
    const cnn_graph *graph = push_graph(L, check_built(L, "connections"));
    lua_newtable(L);
    for (int i = 0, n = 0; i < graph->count; i++) {
        cnn_tensor *const *sources;
        int count = cnn_graph_sources(&sources, graph->tensors[i], CNN_EDGES_LAYERS);
        for (int j = 0; j < count; j++) {
            push_name(L, graph, sources[j]);
            push_name(L, graph, graph->tensors[i]);
            if (lua_isnil(L, -2) || lua_isnil(L, -1)) {
                lua_pop(L, 2);
                continue;
            }
            lua_createtable(L, 2, 0);
            lua_insert(L, -3);
            lua_rawseti(L, -3, 2);
            lua_rawseti(L, -2, 1);
            lua_rawseti(L, -2, ++n);
        }
    }
    return 1;
}

/*** The symbolic tensor that a layer makes in this model: where a new model over a part of this one ends.
The new model shares its layers, and so their weights, with this one.
@function model:layer_output
@tparam string name the layer's
@tparam[opt=1] int call which of its calls, where it is called more than once
@treturn symbolic
@raise a name that is not there; fewer calls; a model that is not built
@usage
model = cnn.Sequential{layers.Dense{4, name = "hidden", input_shape = {3}}, layers.Dense{1}}
part = cnn.Model{inputs = model.inputs, outputs = model:layer_output("hidden")}
part(cnn.zeros{2, 3}):shape()        --> {2, 4}
*/
static int layer_output(lua_State *L) {
    cnn_model *model = check_built(L, "layer_output");
    cnn_layer *layer;
    lcnn_check(L, cnn_model_get_layer(&layer, model, luaL_checkstring(L, 2)));
    lua_Integer wanted = luaL_optinteger(L, 3, 1);
    const cnn_graph *graph = push_graph(L, model);
    for (int i = 0; i < graph->count; i++) {
        const cnn_call *call = cnn_call_of(graph->tensors[i]);
        if (!call || call->layer != layer || --wanted > 0) continue;
        lcnn_push_tensor(L, cnn_tensor_retain(graph->tensors[i]));
        return 1;
    }
    return lcnn_fail(L, "layer_output: '%s' is not called so often", layer->name);
}

const luaL_Reg lcnn_graph_methods[] = {
    {"connections", connections}, {"layer_output", layer_output}, {NULL, NULL}};
