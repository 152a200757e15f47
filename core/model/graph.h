/* A walk over the graph behind some symbolic tensors. */
#ifndef CNN_MODEL_GRAPH_H
#define CNN_MODEL_GRAPH_H

#include "layers/layer.h"

/* What a tensor is made from: the inputs of its op, or, a floor higher, of the layer call whose result it is. */
typedef enum cnn_edges { CNN_EDGES_OPS, CNN_EDGES_LAYERS } cnn_edges;

/* The tensors that the outputs depend on, the inputs first, each after those it is made from. */
typedef struct cnn_graph {
    cnn_edges edges;
    int count, capacity;
    cnn_tensor **tensors; /* borrowed */
    int slot_count;       /* a hash table of positions by address, -1 where empty */
    int *slots;
} cnn_graph;

/* Fills a zeroed graph, to be freed whatever comes back. By ops, tensors with values (weights, constants) are among
 * them; by layers they are not. An error if the outputs depend on an input that is not among the inputs. */
cnn_status cnn_graph_walk(cnn_graph *graph, cnn_edges edges, cnn_tensor *const *inputs, int n_inputs,
                          cnn_tensor *const *outputs, int n_outputs);
void cnn_graph_free(cnn_graph *graph);

/* A tensor's position, or -1. */
int cnn_graph_find(const cnn_graph *graph, const cnn_tensor *tensor);

/* What a symbolic tensor is made from; the number of them. */
int cnn_graph_sources(cnn_tensor *const **sources, const cnn_tensor *tensor, cnn_edges edges);

/* True for the first tensor of the graph that its call made. */
bool cnn_graph_starts_call(const cnn_graph *graph, int position);
/* Which call of its layer made the tensor, counted from 0 in the order of the graph. */
int cnn_graph_call_index(const cnn_graph *graph, const cnn_tensor *tensor);

/* Puts the layers of a model that the graph (by layers) is of into Keras's order; see layer_order.c. */
cnn_status cnn_graph_sort_layers(const cnn_graph *graph, int n_inputs, cnn_tensor *const *outputs,
                                 int n_outputs, cnn_layer **layers, int count);

/* Makes room for one more item in a list that doubles as it grows. */
cnn_status cnn_list_grow(void **items, int count, int *capacity, size_t item_size);

#endif
