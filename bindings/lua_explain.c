/* What prelude/explain.lua needs of C, in the table cnn.explain.system, which it takes for itself: a model's graph op by
 * op, so that layers inside of models inside of it are there too, and so are scores before their softmax. Nothing here
 * changes the model. */
#include "lua_layer.h"
#include "model/graph.h"
#include "ops/activation.h"
#include "ops/shape.h"
#include "ops/softmax.h"

#include <string.h>

/* A graph by ops on the stack, freed by the collector whatever happens. */
static int free_graph(lua_State *L) {
    cnn_graph_free(lua_touserdata(L, 1));
    return 0;
}

static cnn_graph *push_graph(lua_State *L, const cnn_model *model, cnn_tensor *const *ends, int count) {
    cnn_graph *graph = lua_newuserdatauv(L, sizeof *graph, 0);
    *graph = (cnn_graph){0};
    if (luaL_newmetatable(L, "cnn.explain.graph")) {
        lua_pushcfunction(L, free_graph);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lcnn_check(L, cnn_graph_walk(graph, CNN_EDGES_OPS, model->inputs, model->n_inputs, ends, count));
    return graph;
}

/* system.calls(model, who): the calls of layers that the outputs depend on, those inside of models too, in the order they
 * run: {{layer = …, output = symbolic tensor}, …}. */
static int calls(lua_State *L) {
    const cnn_model *model = lcnn_check_model(L, 1);
    lcnn_check(L, cnn_model_expect_built(model, luaL_checkstring(L, 2)));
    const cnn_graph *graph = push_graph(L, model, model->outputs, model->n_outputs);
    lua_newtable(L);
    for (int i = 0, n = 0; i < graph->count; i++) {
        const cnn_call *call = cnn_call_of(graph->tensors[i]);
        if (!call || call->n_inputs == 0) continue;
        lua_createtable(L, 0, 2);
        lcnn_push_layer(L, call->layer);
        lua_setfield(L, -2, "layer");
        lcnn_push_tensor(L, cnn_tensor_retain(graph->tensors[i]));
        lua_setfield(L, -2, "output");
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* system.score(tensor): the symbolic tensor of which a softmax, its logarithm or a sigmoid makes this one; where nothing
 * of the kind comes last, the tensor itself. And whether this one holds probabilities. */
static int score(lua_State *L) {
    cnn_tensor *tensor = lcnn_check_tensor(L, 1);
    while (tensor->node && tensor->node->op == &cnn_op_identity) tensor = tensor->node->inputs[0];
    const cnn_op *op = tensor->node ? tensor->node->op : NULL;
    bool probable = op == &cnn_op_softmax || op == &cnn_op_sigmoid;
    if (probable || op == &cnn_op_log_softmax) tensor = tensor->node->inputs[0];
    lcnn_push_tensor(L, cnn_tensor_retain(tensor));
    lua_pushboolean(L, probable);
    return 2;
}

/* The value of a tensor of the graph, from those before it. */
static cnn_status compute(cnn_tensor **values, const cnn_graph *graph, int position) {
    cnn_tensor *tensor = graph->tensors[position], *inputs[CNN_MAX_INPUTS];
    if (tensor->data) {
        values[position] = cnn_tensor_retain(tensor);
        return CNN_OK;
    }
    const cnn_node *node = tensor->node;
    for (int i = 0; i < node->n_inputs; i++) inputs[i] = values[cnn_graph_find(graph, node->inputs[i])];
    return cnn_op_apply(&values[position], node->op, node->attributes, inputs, node->n_inputs, false);
}

/* system.run(model, x, tensors): the values that symbolic tensors of a model of one input have for x, as in inference.
 * Each op is applied once, and open tapes see it. */
static int run(lua_State *L) {
    enum { MOST = 8, X = 2, TENSORS };
    cnn_tensor *wanted[MOST];
    lua_settop(L, TENSORS);
    const cnn_model *model = lcnn_check_model(L, 1);
    lcnn_check_eager(L, X, "explain");
    int count = lcnn_tensor_list(L, TENSORS, wanted, MOST, "explain");
    const cnn_graph *graph = push_graph(L, model, wanted, count);
    cnn_tensor **values = lcnn_new_list(L, graph->count);
    values[cnn_graph_find(graph, model->inputs[0])] = cnn_tensor_retain(lcnn_check_tensor(L, X));
    cnn_status status = CNN_OK;
    for (int i = 0; status == CNN_OK && i < graph->count; i++)
        if (!values[i]) status = compute(values, graph, i);
    lcnn_check(L, status);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lcnn_push_tensor(L, cnn_tensor_retain(values[cnn_graph_find(graph, wanted[i])]));
        lua_rawseti(L, -2, i + 1);
    }
    for (int i = 0; i < graph->count; i++) { /* now, and not when the collector comes */
        cnn_tensor_release(values[i]);
        values[i] = NULL;
    }
    return 1;
}

static const luaL_Reg functions[] = {{"calls", calls}, {"score", score}, {"run", run}, {NULL, NULL}};

int lcnn_open_explain(lua_State *L) {
    luaL_getsubtable(L, 1, "explain");
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "system");
    return 0;
}
