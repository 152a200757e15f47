/* The order of the layers of a functional model: Keras's, in which summaries list them, weights and optimizers' states
 * are saved, and unnamed files number them.
 *
 * A layer's depth is the longest way from it to an output; of a layer that is called several times, the deepest call's,
 * from which the depths of what is before all its earlier calls are counted. The deepest come first; of equal ones those
 * that a search from the outputs, going to the inputs of each call in their order, meets first. */
#include "model/graph.h"
#include "base/memory.h"
#include "base/status.h"

#include <string.h>

typedef struct rank {
    cnn_layer *layer;
    int depth, met; /* met: -1 if the search does not get there */
} rank;

typedef struct search {
    const cnn_graph *graph;
    int n_inputs;
    int *depths, *met; /* of each tensor */
    int *stack, *done; /* of each tensor on the way: its position; the number of its sources that are done */
    int meetings;
} search;

/* A tensor that is an input has nothing before it. */
static int sources_of(cnn_tensor *const **sources, const search *s, int position) {
    if (position < s->n_inputs) return 0;
    return cnn_graph_sources(sources, s->graph->tensors[position], CNN_EDGES_LAYERS);
}

static void meet(search *s, int position, int *height) {
    if (position < 0 || s->met[position] >= 0) return;
    s->met[position] = s->meetings++;
    s->done[*height] = 0;
    s->stack[(*height)++] = position;
}

static void search_from(search *s, int output) {
    int height = 0;
    meet(s, output, &height);
    while (height > 0) {
        cnn_tensor *const *sources;
        int count = sources_of(&sources, s, s->stack[height - 1]), next = s->done[height - 1]++;
        if (next < count)
            meet(s, cnn_graph_find(s->graph, sources[next]), &height);
        else
            height--;
    }
}

static rank *rank_of(rank *ranks, int count, const cnn_call *call) {
    for (int i = 0; call && i < count; i++)
        if (ranks[i].layer == call->layer) return &ranks[i];
    return NULL;
}

/* From the outputs on: in the graph, what a tensor is made from stands before it. */
static void find_ranks(search *s, rank *ranks, int count) {
    for (int i = s->graph->count - 1; i >= 0; i--) {
        rank *r = rank_of(ranks, count, cnn_call_of(s->graph->tensors[i]));
        if (r && s->depths[i] < r->depth) s->depths[i] = r->depth;
        if (r) r->depth = s->depths[i];
        if (r && s->met[i] >= 0 && (r->met < 0 || s->met[i] < r->met)) r->met = s->met[i];
        cnn_tensor *const *sources;
        int n = sources_of(&sources, s, i);
        for (int j = 0; j < n; j++) {
            int source = cnn_graph_find(s->graph, sources[j]);
            if (source >= 0 && s->depths[source] <= s->depths[i]) s->depths[source] = s->depths[i] + 1;
        }
    }
}

/* By insertion: the order is nearly there. */
static void sort_ranks(rank *ranks, int count) {
    for (int i = 1; i < count; i++) {
        rank r = ranks[i];
        int j = i;
        for (; j > 0; j--) {
            const rank *before = &ranks[j - 1];
            if (before->depth > r.depth || (before->depth == r.depth && before->met <= r.met)) break;
            ranks[j] = *before;
        }
        ranks[j] = r;
    }
}

cnn_status cnn_graph_sort_layers(const cnn_graph *graph, int n_inputs, cnn_tensor *const *outputs,
                                 int n_outputs, cnn_layer **layers, int count) {
    size_t numbers = (size_t)graph->count * sizeof(int), bytes = 4 * numbers + (size_t)count * sizeof(rank);
    rank *ranks = cnn_calloc(bytes);
    if (!ranks) return cnn_fail_memory(bytes);
    int *depths = (int *)(ranks + count);
    search s = {.graph = graph, .n_inputs = n_inputs, .depths = depths, .met = depths + graph->count};
    s.stack = s.met + graph->count;
    s.done = s.stack + graph->count;
    memset(s.met, -1, numbers);
    for (int i = 0; i < count; i++) ranks[i] = (rank){layers[i], 0, -1};
    for (int i = 0; i < n_outputs; i++) search_from(&s, cnn_graph_find(graph, outputs[i]));
    find_ranks(&s, ranks, count);
    sort_ranks(ranks, count);
    for (int i = 0; i < count; i++) layers[i] = ranks[i].layer;
    cnn_free(ranks);
    return CNN_OK;
}
