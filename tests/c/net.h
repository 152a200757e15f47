/* Small networks for tests of plans and models: graphs built from layers and ops, data for them, and a reference that
 * runs a graph's ops one after the other on whole batches and sends gradients back the same way. */
#ifndef NET_H
#define NET_H

#include "tensor_test.h"

#include "base/config.h"
#include "base/memory.h"
#include "model/graph.h"
#include "model/plan_types.h"

#include <stdio.h>
#include <stdlib.h>

enum { NET_MOST = 4, NET_STEP = 7 };

/* Inputs, outputs, and for each loss its name and the output it reads. */
typedef struct net {
    int n_inputs, n_outputs, n_losses;
    cnn_tensor *inputs[NET_MOST], *outputs[NET_MOST];
    const char *losses[NET_MOST];
    int classes; /* of sparse labels */
    int made_count;
    cnn_tensor *made[512]; /* everything to release */
} net;

static inline uint32_t net_draw(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static inline void fill_random(cnn_tensor *t, uint32_t seed) {
    uint32_t state = seed * 2654435761u + 99;
    for (int64_t i = 0; i < t->size; i++) cnn_f32(t)[i] = (float)(net_draw(&state) % 20011) / 10005.5f - 1;
}

static inline cnn_tensor *keep(net *n, cnn_tensor *t) {
    assert_true(n->made_count < 512);
    return n->made[n->made_count++] = t;
}

static inline void net_close(net *n) {
    for (int i = n->made_count - 1; i >= 0; i--) cnn_tensor_release(n->made[i]);
}

/* ---- building -------------------------------------------------------------------------------------------- */

static inline cnn_tensor *input(net *n, int rank, const int64_t *shape) {
    cnn_tensor *t = NULL;
    OK(cnn_input(&t, rank, shape, CNN_FLOAT32, NULL));
    return n->inputs[n->n_inputs++] = keep(n, t);
}

/* A concrete tensor of random numbers within ±scale. */
static inline cnn_tensor *weights(net *n, bool trainable, double scale, int rank, const int64_t *shape) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, CNN_FLOAT32, rank, shape));
    fill_random(t, (uint32_t)(n->made_count + 5));
    for (int64_t i = 0; i < t->size; i++) cnn_f32(t)[i] *= (float)scale;
    t->trainable = trainable;
    return keep(n, t);
}

static inline cnn_tensor *apply_list(net *n, const char *op, const char *attributes,
                                     cnn_tensor *const *inputs, int count) {
    cnn_tensor *y = NULL;
    OK(cnn_apply(&y, op, attributes, inputs, count));
    return keep(n, y);
}

static inline cnn_tensor *op1(net *n, const char *op, const char *attributes, cnn_tensor *a) {
    return apply_list(n, op, attributes, &a, 1);
}

static inline cnn_tensor *op2(net *n, const char *op, const char *attributes, cnn_tensor *a, cnn_tensor *b) {
    return apply_list(n, op, attributes, (cnn_tensor *[]){a, b}, 2);
}

static inline cnn_tensor *op3(net *n, const char *op, const char *attributes, cnn_tensor *a, cnn_tensor *b,
                              cnn_tensor *c) {
    return apply_list(n, op, attributes, (cnn_tensor *[]){a, b, c}, 3);
}

static inline cnn_tensor *call_layer(net *n, cnn_layer *layer, cnn_tensor *x) {
    cnn_tensor *y = NULL;
    OK(cnn_layer_call(&y, layer, &x, 1, false));
    return keep(n, y);
}

static inline cnn_tensor *layer(net *n, const char *class, const char *config, cnn_tensor *x) {
    cnn_layer *made = NULL;
    OK(cnn_layer_new(&made, class, config));
    cnn_tensor *y = call_layer(n, made, x);
    cnn_layer_release(made);
    return y;
}

static inline void output(net *n, cnn_tensor *t, const char *loss) {
    assert_true(n->n_outputs == n->n_losses || !loss);
    n->outputs[n->n_outputs++] = t;
    if (loss) n->losses[n->n_losses++] = loss;
}

/* ---- data ------------------------------------------------------------------------------------------------ */

typedef struct net_data {
    cnn_tensor *inputs[NET_MOST], *labels[NET_MOST], *seeds[NET_MOST];
} net_data;

static inline cnn_tensor *tensor_like(const cnn_tensor *t, int64_t batch, uint32_t seed) {
    int64_t shape[CNN_MAX_RANK];
    for (int i = 0; i < t->rank; i++) shape[i] = i == 0 ? batch : t->shape[i];
    cnn_tensor *made = NULL;
    OK(cnn_tensor_new(&made, CNN_FLOAT32, t->rank, shape));
    fill_random(made, seed);
    return made;
}

static inline void make_data(net_data *d, const net *n, int64_t batch) {
    *d = (net_data){0};
    for (int i = 0; i < n->n_inputs; i++) d->inputs[i] = tensor_like(n->inputs[i], batch, (uint32_t)(40 + i));
    for (int i = 0; i < n->n_losses; i++) {
        OK(cnn_tensor_new(&d->seeds[i], CNN_FLOAT32, 1, &batch));
        fill_random(d->seeds[i], (uint32_t)(80 + i));
        bool sparse = strncmp(n->losses[i], "sparse", 6) == 0;
        d->labels[i] = tensor_like(n->outputs[i], batch, (uint32_t)(60 + i));
        if (!sparse) {
            /* Shares that sum to 1 over the last axis serve all the other losses. */
            int64_t last = d->labels[i]->shape[d->labels[i]->rank - 1];
            for (int64_t k = 0; k < d->labels[i]->size; k++)
                cnn_f32(d->labels[i])[k] = 1 / (float)(last + 1 - k % 2);
            continue;
        }
        cnn_tensor_release(d->labels[i]);
        OK(cnn_tensor_new(&d->labels[i], CNN_INT32, 1, &batch));
        for (int64_t k = 0; k < batch; k++) cnn_i32(d->labels[i])[k] = (int32_t)((k * 7 + 3) % n->classes);
    }
}

static inline void free_data(net_data *d) {
    for (int i = 0; i < NET_MOST; i++) {
        cnn_tensor_release(d->inputs[i]);
        cnn_tensor_release(d->labels[i]);
        cnn_tensor_release(d->seeds[i]);
    }
}

/* ---- plans ----------------------------------------------------------------------------------------------- */

typedef struct net_losses {
    void *attributes[NET_MOST];
    cnn_plan_loss list[NET_MOST];
} net_losses;

static inline void make_losses(net_losses *l, const net *n, const net_data *d) {
    for (int i = 0; i < n->n_losses; i++) {
        const cnn_op *op = NULL;
        OK(cnn_op_find(&op, n->losses[i]));
        OK(cnn_object_new(&l->attributes[i], &op->class, NULL));
        l->list[i] =
            (cnn_plan_loss){.output = i, .op = op, .attributes = l->attributes[i], .label = d->labels[i]};
    }
}

static inline void free_losses(net_losses *l, const net *n) {
    for (int i = 0; i < n->n_losses; i++) cnn_object_free(l->attributes[i]);
}

static inline cnn_status make_plan(cnn_plan **plan, const net *n, const net_data *d, int64_t batch,
                                   bool training, bool gradients) {
    net_losses losses;
    make_losses(&losses, n, d);
    cnn_plan_options o = {.batch = batch,
                          .training = training,
                          .gradients = gradients,
                          .inputs = n->inputs,
                          .n_inputs = n->n_inputs,
                          .outputs = n->outputs,
                          .n_outputs = n->n_outputs,
                          .losses = losses.list,
                          .n_losses = n->n_losses};
    cnn_status status = cnn_plan_new(plan, &o);
    free_losses(&losses, n);
    return status;
}

static inline cnn_status run_plan(cnn_plan *plan, const net *n, const net_data *d, bool weights_changed) {
    const void *inputs[NET_MOST], *labels[NET_MOST];
    const float *seeds[NET_MOST];
    for (int i = 0; i < n->n_inputs; i++) inputs[i] = d->inputs[i]->data;
    for (int i = 0; i < n->n_losses; i++) labels[i] = d->labels[i]->data, seeds[i] = cnn_f32(d->seeds[i]);
    cnn_plan_feed feed = {inputs, labels, seeds, NET_STEP, weights_changed, false};
    return cnn_plan_run(plan, &feed);
}

/* Fills all memory of a plan with NaNs: whatever a run reads it must have written. */
static inline void poison(cnn_plan *plan) {
    memset(plan->whole, 0xFF, plan->whole_bytes);
    memset(plan->threads, 0xFF, plan->thread_stride * (size_t)plan->n_threads);
    memset(plan->sums, 0xFF, plan->sums_floats * sizeof(float));
    memset(plan->gradient, 0xFF, plan->gradient_floats * sizeof(float));
}

/* ---- the reference ----------------------------------------------------------------------------------------- */

/* One op application of the graph, or a loss. */
typedef struct node_run {
    cnn_op_info info;
    void *saved;
} node_run;

typedef struct reference {
    const net *net;
    const net_data *data;
    bool training;
    cnn_graph graph;
    cnn_tensor **values, **grads; /* for each tensor of the graph; grads NULL until one arrives */
    node_run *runs;
    cnn_tensor *loss_values[NET_MOST];
} reference;

static inline const cnn_tensor *const *as_inputs(cnn_tensor *const *list) {
    return (const cnn_tensor *const *)list;
}

static inline cnn_tensor *run_forward_op(node_run *r, const cnn_op *op, const void *attributes,
                                         cnn_tensor **inputs, int count, bool training) {
    cnn_tensor *y = NULL;
    OK(cnn_op_infer(op, attributes, as_inputs(inputs), count, training, &r->info));
    OK(cnn_tensor_new(&y, r->info.dtype, r->info.rank, r->info.shape));
    r->saved = cnn_calloc(r->info.saved * (size_t)(r->info.per_sample && y->rank ? y->shape[0] : 1));
    OK(cnn_op_forward(op, attributes, &r->info, as_inputs(inputs), count, y, r->saved, training, NET_STEP));
    return y;
}

/* grads[i] += the gradient of input i, for those with positions. */
static inline void run_backward_op(reference *ref, node_run *r, const cnn_op *op, const void *attributes,
                                   cnn_tensor **inputs, const int *positions, int count, cnn_tensor *y,
                                   const cnn_tensor *dy) {
    cnn_tensor *made[CNN_MAX_INPUTS] = {0};
    if (!op->backward) return;
    for (int i = 0; i < count; i++)
        if (positions[i] >= 0 && !(i < 32 && (op->constant >> i & 1)))
            OK(cnn_tensor_new(&made[i], CNN_FLOAT32, inputs[i]->rank, inputs[i]->shape));
    OK(cnn_op_backward(op, attributes, &r->info, as_inputs(inputs), count, y, r->saved, ref->training,
                       NET_STEP, dy, made));
    for (int i = 0; i < count; i++) {
        if (!made[i]) continue;
        cnn_tensor **sum = &ref->grads[positions[i]];
        if (!*sum) {
            *sum = made[i];
            continue;
        }
        for (int64_t k = 0; k < made[i]->size; k++) cnn_f32(*sum)[k] += cnn_f32(made[i])[k];
        cnn_tensor_release(made[i]);
    }
}

static inline int node_inputs(const reference *ref, int at, cnn_tensor **inputs, int *positions) {
    const cnn_node *node = ref->graph.tensors[at]->node;
    for (int i = 0; i < node->n_inputs; i++) {
        positions[i] = cnn_graph_find(&ref->graph, node->inputs[i]);
        inputs[i] = ref->values[positions[i]];
    }
    return node->n_inputs;
}

static inline void run_losses(reference *ref) {
    net_losses losses;
    make_losses(&losses, ref->net, ref->data);
    for (int i = 0; i < ref->net->n_losses; i++) {
        int positions[2] = {cnn_graph_find(&ref->graph, ref->net->outputs[i]), -1};
        cnn_tensor *inputs[2] = {ref->values[positions[0]], ref->data->labels[i]};
        node_run run;
        const cnn_plan_loss *l = &losses.list[i];
        ref->loss_values[i] = run_forward_op(&run, l->op, l->attributes, inputs, 2, ref->training);
        run_backward_op(ref, &run, l->op, l->attributes, inputs, positions, 2, ref->loss_values[i],
                        ref->data->seeds[i]);
        cnn_free(run.saved);
    }
    free_losses(&losses, ref->net);
}

static inline void open_reference(reference *ref, const net *n, const net_data *d, bool training) {
    *ref = (reference){.net = n, .data = d, .training = training};
    OK(cnn_graph_walk(&ref->graph, CNN_EDGES_OPS, n->inputs, n->n_inputs, n->outputs, n->n_outputs));
    size_t count = (size_t)ref->graph.count;
    ref->values = calloc(count, sizeof *ref->values);
    ref->grads = calloc(count, sizeof *ref->grads);
    ref->runs = calloc(count, sizeof *ref->runs);
    cnn_tensor *inputs[CNN_MAX_INPUTS];
    int positions[CNN_MAX_INPUTS];
    for (int i = 0; i < ref->graph.count; i++) {
        cnn_tensor *t = ref->graph.tensors[i];
        if (i < n->n_inputs || t->data) {
            ref->values[i] = cnn_tensor_retain(i < n->n_inputs ? d->inputs[i] : t);
            continue;
        }
        int inputs_count = node_inputs(ref, i, inputs, positions);
        ref->values[i] =
            run_forward_op(&ref->runs[i], t->node->op, t->node->attributes, inputs, inputs_count, training);
    }
    run_losses(ref);
    for (int i = ref->graph.count - 1; i >= 0; i--) {
        const cnn_tensor *t = ref->graph.tensors[i];
        if (i < n->n_inputs || t->data || !ref->grads[i]) continue;
        int inputs_count = node_inputs(ref, i, inputs, positions);
        run_backward_op(ref, &ref->runs[i], t->node->op, t->node->attributes, inputs, positions, inputs_count,
                        ref->values[i], ref->grads[i]);
    }
}

static inline void close_reference(reference *ref) {
    for (int i = 0; i < ref->graph.count; i++) {
        cnn_tensor_release(ref->values[i]);
        cnn_tensor_release(ref->grads[i]);
        cnn_free(ref->runs[i].saved);
    }
    for (int i = 0; i < NET_MOST; i++) cnn_tensor_release(ref->loss_values[i]);
    free(ref->values);
    free(ref->grads);
    free(ref->runs);
    cnn_graph_free(&ref->graph);
}

#endif
