/* The seeds of a model's random ops. An op's attributes hold its seed from the time it was wired; changing them there
 * reaches plans through the model's version. */
#include "model/config.h"
#include "model/graph.h"
#include "base/status.h"

#include <string.h>

/* Where the attributes of a random op keep its seed. */
static int *seed_of(const cnn_tensor *tensor) {
    const cnn_op *op = tensor->node ? tensor->node->op : NULL;
    if (!op || !op->random) return NULL;
    for (const cnn_param *p = op->class.params; p->name; p++)
        if (strcmp(p->name, "seed") == 0) return (int *)((char *)tensor->node->attributes + p->offset);
    return NULL;
}

typedef void visit_seed(int *seed, int index, void *data);

static cnn_status each_seed(const cnn_model *model, visit_seed *visit, void *data, int *count) {
    cnn_graph graph = {0};
    cnn_status status = cnn_graph_walk(&graph, CNN_EDGES_OPS, model->inputs, model->n_inputs, model->outputs,
                                       model->n_outputs);
    *count = 0;
    for (int i = 0; status == CNN_OK && i < graph.count; i++) {
        int *seed = seed_of(graph.tensors[i]);
        if (!seed) continue;
        if (visit) visit(seed, *count, data);
        ++*count;
    }
    cnn_graph_free(&graph);
    return status;
}

static void read_out(int *seed, int index, void *seeds) {
    ((int *)seeds)[index] = *seed;
}

static void put_in(int *seed, int index, void *seeds) {
    *seed = ((int *)seeds)[index];
}

cnn_status cnn_model_get_seeds(const cnn_model *model, int *seeds, int *count) {
    return each_seed(model, seeds ? read_out : NULL, seeds, count);
}

cnn_status cnn_model_set_seeds(cnn_model *model, const int *seeds, int count) {
    int own;
    CNN_TRY(each_seed(model, NULL, NULL, &own));
    if (own != count)
        return cnn_fail(CNN_ERROR_ARGUMENT, "model '%s' has %d random ops, got seeds for %d",
                        model->layer.name, own, count);
    CNN_TRY(each_seed(model, put_in, (void *)seeds, &own));
    model->version++;
    return CNN_OK;
}
