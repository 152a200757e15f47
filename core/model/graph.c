/* Graphs may be thousands of ops deep, so the walk keeps a stack of its own; see graph.h. */
#include "model/graph.h"
#include "base/memory.h"
#include "base/status.h"

cnn_status cnn_list_grow(void **items, int count, int *capacity, size_t item_size) {
    if (count < *capacity) return CNN_OK;
    int wider = *capacity ? 2 * *capacity : 32;
    void *grown = cnn_realloc(*items, (size_t)wider * item_size);
    if (!grown) return cnn_fail_memory((size_t)wider * item_size);
    *items = grown;
    *capacity = wider;
    return CNN_OK;
}

/* ---- positions by address -------------------------------------------------------------------------------- */

/* The slot that holds the tensor, or the empty one where it belongs. */
static int slot_of(const cnn_graph *g, const cnn_tensor *tensor) {
    unsigned mask = (unsigned)g->slot_count - 1;
    unsigned slot = (unsigned)(((uint64_t)(uintptr_t)tensor >> 4) * 0x9E3779B97F4A7C15u >> 32) & mask;
    while (g->slots[slot] >= 0 && g->tensors[g->slots[slot]] != tensor) slot = (slot + 1) & mask;
    return (int)slot;
}

int cnn_graph_find(const cnn_graph *g, const cnn_tensor *tensor) {
    return g->slot_count > 0 ? g->slots[slot_of(g, tensor)] : -1;
}

/* At least half of the slots stay empty. */
static cnn_status widen_slots(cnn_graph *g) {
    if (2 * (g->count + 1) <= g->slot_count) return CNN_OK;
    int wider = g->slot_count ? 2 * g->slot_count : 64;
    int *slots = cnn_malloc((size_t)wider * sizeof *slots);
    if (!slots) return cnn_fail_memory((size_t)wider * sizeof *slots);
    cnn_free(g->slots);
    g->slots = slots;
    g->slot_count = wider;
    for (int i = 0; i < wider; i++) slots[i] = -1;
    for (int i = 0; i < g->count; i++) slots[slot_of(g, g->tensors[i])] = i;
    return CNN_OK;
}

static cnn_status add(cnn_graph *g, cnn_tensor *tensor) {
    if (cnn_graph_find(g, tensor) >= 0) return CNN_OK;
    CNN_TRY(widen_slots(g));
    CNN_TRY(cnn_list_grow((void **)&g->tensors, g->count, &g->capacity, sizeof *g->tensors));
    g->slots[slot_of(g, tensor)] = g->count;
    g->tensors[g->count++] = tensor;
    return CNN_OK;
}

/* ---- the walk -------------------------------------------------------------------------------------------- */

int cnn_graph_sources(cnn_tensor *const **sources, const cnn_tensor *tensor, cnn_edges edges) {
    const cnn_call *call = edges == CNN_EDGES_LAYERS ? cnn_call_of(tensor) : NULL;
    *sources = call ? call->inputs : tensor->node ? tensor->node->inputs : NULL;
    return call ? call->n_inputs : tensor->node ? tensor->node->n_inputs : 0;
}

bool cnn_graph_starts_call(const cnn_graph *g, int position) {
    const cnn_call *call = cnn_call_of(g->tensors[position]);
    for (int i = 0; call && call->n_outputs > 1 && i < position; i++)
        if (cnn_call_of(g->tensors[i]) == call) return false;
    return call;
}

int cnn_graph_call_index(const cnn_graph *g, const cnn_tensor *tensor) {
    const cnn_call *call = cnn_call_of(tensor);
    int index = 0;
    for (int i = 0; i < g->count && cnn_call_of(g->tensors[i]) != call; i++)
        if (cnn_graph_starts_call(g, i) && cnn_call_of(g->tensors[i])->layer == call->layer) index++;
    return index;
}

/* Tensors being visited, each with the number of its sources that are done. */
typedef struct visit {
    cnn_tensor *tensor;
    int done;
} visit;

typedef struct visits {
    visit *items;
    int count, capacity;
} visits;

static cnn_status enter(visits *v, cnn_tensor *tensor) {
    if (!tensor->data && !tensor->node->op)
        return cnn_fail(
            CNN_ERROR_STATE, "model: its outputs depend on an Input%s%s%s that is not among its inputs",
            tensor->node->call ? " '" : "", tensor->node->call ? tensor->node->call->layer->name : "",
            tensor->node->call ? "'" : "");
    CNN_TRY(cnn_list_grow((void **)&v->items, v->count, &v->capacity, sizeof *v->items));
    v->items[v->count++] = (visit){tensor, 0};
    return CNN_OK;
}

static cnn_status walk_from(cnn_graph *g, visits *v, cnn_tensor *output) {
    if (cnn_graph_find(g, output) >= 0) return CNN_OK;
    CNN_TRY(enter(v, output));
    while (v->count > 0) {
        visit *now = &v->items[v->count - 1];
        cnn_tensor *const *sources;
        if (now->done == cnn_graph_sources(&sources, now->tensor, g->edges)) {
            CNN_TRY(add(g, now->tensor));
            v->count--;
            continue;
        }
        cnn_tensor *source = sources[now->done++];
        bool skipped = source->data && g->edges == CNN_EDGES_LAYERS;
        if (!skipped && cnn_graph_find(g, source) < 0) CNN_TRY(enter(v, source));
    }
    return CNN_OK;
}

cnn_status cnn_graph_walk(cnn_graph *g, cnn_edges edges, cnn_tensor *const *inputs, int n_inputs,
                          cnn_tensor *const *outputs, int n_outputs) {
    visits v = {0};
    cnn_status status = CNN_OK;
    g->edges = edges;
    for (int i = 0; status == CNN_OK && i < n_inputs; i++) status = add(g, inputs[i]);
    for (int i = 0; status == CNN_OK && i < n_outputs; i++) status = walk_from(g, &v, outputs[i]);
    cnn_free(v.items);
    return status;
}

void cnn_graph_free(cnn_graph *g) {
    cnn_free(g->tensors);
    cnn_free(g->slots);
}
