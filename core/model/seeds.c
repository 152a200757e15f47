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

typedef bool visit_seed(int *seed, void *data);

/* Ends where a visit fails, for want of memory. */
static cnn_status each_seed(const cnn_model *model, visit_seed *visit, void *data) {
    cnn_graph graph = {0};
    cnn_status status = cnn_graph_walk(&graph, CNN_EDGES_OPS, model->inputs, model->n_inputs, model->outputs,
                                       model->n_outputs);
    for (int i = 0; status == CNN_OK && i < graph.count; i++) {
        int *seed = seed_of(graph.tensors[i]);
        if (seed && !visit(seed, data)) status = cnn_fail_memory(sizeof(cJSON));
    }
    cnn_graph_free(&graph);
    return status;
}

static bool append(int *seed, void *list) {
    return cJSON_AddItemToArray(list, cJSON_CreateNumber(*seed));
}

static bool count_up(int *seed, void *count) {
    (void)seed;
    ++*(int *)count;
    return true;
}

static bool take_next(int *seed, void *item) {
    const cJSON **next = item;
    *seed = (*next)->valueint;
    *next = (*next)->next;
    return true;
}

cnn_status cnn_model_get_seeds(cJSON **out, const cnn_model *model) {
    cJSON *list = cJSON_CreateArray();
    if (!list) return cnn_fail_memory(sizeof *list);
    cnn_status status = each_seed(model, append, list);
    if (status == CNN_OK)
        *out = list;
    else
        cJSON_Delete(list);
    return status;
}

cnn_status cnn_model_set_seeds(cnn_model *model, const cJSON *list) {
    int own = 0, count = cJSON_GetArraySize(list);
    CNN_TRY(each_seed(model, count_up, &own));
    if (own != count)
        return cnn_fail(CNN_ERROR_ARGUMENT, "model '%s' has %d random ops, got seeds for %d",
                        model->layer.name, own, count);
    const cJSON *next = list ? list->child : NULL;
    CNN_TRY(each_seed(model, take_next, &next));
    model->version++;
    return CNN_OK;
}
