/* Applying an op: to symbolic tensors it extends their graph, to others it runs. */
#include "ops/tape.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

cnn_status cnn_op_infer(const cnn_op *op, const void *attributes, const cnn_tensor *const *inputs,
                        int n_inputs, bool training, cnn_op_info *info) {
    if (n_inputs < op->min_inputs || n_inputs > op->max_inputs)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected %d to %d inputs, got %d", op->class.name,
                        op->min_inputs, op->max_inputs, n_inputs);
    for (int i = 0; i < n_inputs; i++)
        if (inputs[i]->dtype != CNN_FLOAT32 && !(i < 32 && (op->constant | op->any_dtype) >> i & 1))
            return cnn_fail(CNN_ERROR_DTYPE, "%s: expected float32 as input %d, got %s (astype \"float32\")",
                            op->class.name, i + 1, cnn_dtype_name(inputs[i]->dtype));
    for (int i = 0; i < n_inputs; i++)
        if (inputs[i]->size < 0 && i < 32 && (op->shared >> i & 1))
            return cnn_fail(CNN_ERROR_SHAPE, "%s: the sizes of input %d must not depend on the batch",
                            op->class.name, i + 1);
    *info = (cnn_op_info){.dtype = CNN_FLOAT32, .per_sample = op->per_sample, .training = training};
    return op->infer(attributes, inputs, n_inputs, info);
}

void (*cnn_call_release_hook)(struct cnn_call *call);

/* ---- symbolic ------------------------------------------------------------------------------------------ */

static void free_node(cnn_node *node) {
    for (int i = 0; i < node->n_inputs; i++) cnn_tensor_release(node->inputs[i]);
    cnn_free(node->inputs);
    cnn_free(node->attributes);
    if (node->call) cnn_call_release_hook(node->call);
    cnn_free(node);
}

/* Freeing a node releases the tensors it was made from, and so their nodes. Those wait in a list: a chain of any length
 * goes without recursion. */
static void release_node(cnn_node *node) {
    static _Thread_local cnn_node *waiting;
    static _Thread_local bool busy;
    if (__atomic_sub_fetch(&node->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    node->next = waiting;
    waiting = node;
    if (busy) return;
    busy = true;
    while ((node = waiting)) {
        waiting = node->next;
        free_node(node);
    }
    busy = false;
}

static cnn_status symbolic_tensor(cnn_tensor **out, const cnn_op_info *info, cnn_node *node) {
    CNN_TRY(cnn_tensor_symbolic(out, info->dtype, info->rank, info->shape));
    cnn_node_release_hook = release_node;
    node->refs = 1;
    (*out)->node = node;
    return CNN_OK;
}

cnn_status cnn_symbolic_input(cnn_tensor **out, int rank, const int64_t *shape, cnn_dtype dtype) {
    if (rank < 0 || rank >= CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "Input: expected at most %d sizes, got %d", CNN_MAX_RANK - 1, rank);
    cnn_op_info info = {.dtype = dtype, .rank = rank + 1, .shape = {-1}};
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 1)
            return cnn_fail(CNN_ERROR_SHAPE, "Input: sizes must be 1 or more, got %lld", (long long)shape[i]);
        info.shape[i + 1] = shape[i];
    }
    cnn_node *node = cnn_calloc(sizeof *node);
    cnn_status status = node ? symbolic_tensor(out, &info, node) : cnn_fail_memory(sizeof *node);
    if (status != CNN_OK) cnn_free(node);
    return status;
}

static _Thread_local bool as_inference;

bool cnn_ops_as_inference(bool on) {
    bool before = as_inference;
    as_inference = on;
    return before;
}

/* A node without references yet, its inputs not retained. */
static cnn_node *new_node(const cnn_op *op, const void *attributes, cnn_tensor *const *inputs, int n_inputs) {
    cnn_node *node = cnn_calloc(sizeof *node);
    void *copy = cnn_malloc(op->class.size);
    cnn_tensor **list = cnn_malloc((size_t)n_inputs * sizeof *list);
    if (!node || !copy || !list) {
        cnn_free(list);
        cnn_free(copy);
        cnn_free(node);
        return NULL;
    }
    memcpy(copy, attributes, op->class.size);
    memcpy(list, inputs, (size_t)n_inputs * sizeof *list);
    *node = (cnn_node){
        .op = op, .attributes = copy, .n_inputs = n_inputs, .inputs = list, .inference = as_inference};
    return node;
}

static cnn_status extend_graph(cnn_tensor **out, const cnn_op *op, const void *attributes,
                               const cnn_op_info *info, cnn_tensor *const *inputs, int n_inputs) {
    cnn_node *node = new_node(op, attributes, inputs, n_inputs);
    if (!node) return cnn_fail_memory(sizeof *node);
    for (int i = 0; i < n_inputs; i++) cnn_tensor_retain(inputs[i]);
    cnn_status status = symbolic_tensor(out, info, node);
    if (status == CNN_OK) return CNN_OK;
    free_node(node);
    return cnn_fail_in(status, op->class.name);
}

/* ---- eager --------------------------------------------------------------------------------------------- */

static _Thread_local uint64_t *own_steps;

uint64_t *cnn_ops_count_steps(uint64_t *counter) {
    uint64_t *before = own_steps;
    own_steps = counter;
    return before;
}

static uint64_t next_step(void) {
    return own_steps ? (*own_steps)++ : cnn_random_bits(cnn_default_random());
}

/* Runs the op into output and, where a tape follows an input, records it with what backward will need. */
static cnn_status run_into(cnn_tensor *output, const cnn_op *op, const void *attributes,
                           const cnn_op_info *info, cnn_tensor *const *inputs, int n_inputs, bool training) {
    bool followed = cnn_tape_follows(inputs, n_inputs);
    uint64_t step = op->random && training ? next_step() : 0;
    void *saved = NULL;
    if (followed && info->saved > 0) {
        size_t bytes = info->saved * (info->per_sample ? (size_t)info->shape[0] : 1);
        if (!(saved = cnn_malloc(bytes))) return cnn_fail_memory(bytes);
    }
    cnn_status status = CNN_OK;
    if (!op->alias)
        status = cnn_op_forward(op, attributes, info, (const cnn_tensor *const *)inputs, n_inputs, output,
                                saved, training, step);
    if (status == CNN_OK && followed)
        return cnn_tape_record(op, attributes, info, inputs, n_inputs, output, saved, training, step);
    cnn_free(saved);
    return status;
}

static cnn_status run_now(cnn_tensor **out, const cnn_op *op, const void *attributes, const cnn_op_info *info,
                          cnn_tensor *const *inputs, int n_inputs, bool training) {
    cnn_tensor *output;
    if (op->alias)
        CNN_TRY(cnn_reshape(&output, inputs[0], info->rank, info->shape));
    else
        CNN_TRY(cnn_tensor_alloc(&output, info->dtype, info->rank, info->shape));
    cnn_status status = run_into(output, op, attributes, info, inputs, n_inputs, training);
    if (status != CNN_OK)
        cnn_tensor_release(output);
    else
        *out = output;
    return status;
}

/* ---- both ---------------------------------------------------------------------------------------------- */

/* Of whole numbers, floats are made where the op takes nothing else. The list holds a reference to each tensor. */
static cnn_status take_floats(cnn_tensor **list, const cnn_op *op, cnn_tensor *const *inputs, int n_inputs) {
    cnn_status status = CNN_OK;
    for (int i = 0; i < n_inputs; i++) {
        bool whole = inputs[i]->dtype == CNN_UINT8 || inputs[i]->dtype == CNN_INT32;
        bool fits = !whole || !inputs[i]->data || (i < 32 && (op->constant | op->any_dtype) >> i & 1);
        if (fits)
            list[i] = cnn_tensor_retain(inputs[i]);
        else if (status == CNN_OK)
            status = cnn_cast(&list[i], inputs[i], CNN_FLOAT32);
    }
    return status;
}

static cnn_status apply_to(cnn_tensor **out, const cnn_op *op, const void *attributes,
                           cnn_tensor *const *inputs, int n_inputs, bool training) {
    cnn_op_info info;
    training = training && !as_inference;
    CNN_TRY(cnn_op_infer(op, attributes, (const cnn_tensor *const *)inputs, n_inputs, training, &info));
    for (int i = 0; i < n_inputs; i++)
        if (!inputs[i]->data) return extend_graph(out, op, attributes, &info, inputs, n_inputs);
    return run_now(out, op, attributes, &info, inputs, n_inputs, training);
}

static cnn_status apply(cnn_tensor **out, const cnn_op *op, const void *attributes, cnn_tensor *const *inputs,
                        int n_inputs, bool training) {
    cnn_tensor *floats[CNN_MAX_INPUTS] = {NULL};
    bool countable = n_inputs >= 0 && n_inputs <= CNN_MAX_INPUTS;
    if (!countable) return apply_to(out, op, attributes, inputs, n_inputs, training);
    cnn_status status = take_floats(floats, op, inputs, n_inputs);
    if (status == CNN_OK) status = apply_to(out, op, attributes, floats, n_inputs, training);
    for (int i = 0; i < n_inputs; i++) cnn_tensor_release(floats[i]);
    return status;
}

cnn_status cnn_op_apply(cnn_tensor **out, const cnn_op *op, const void *attributes, cnn_tensor *const *inputs,
                        int n_inputs, bool training) {
    if (attributes) return apply(out, op, attributes, inputs, n_inputs, training);
    void *defaults;
    CNN_TRY(cnn_object_new(&defaults, &op->class, NULL));
    cnn_status status = apply(out, op, defaults, inputs, n_inputs, training);
    cnn_object_free(defaults);
    return status;
}

cnn_status cnn_apply(cnn_tensor **out, const char *name, const char *attributes, cnn_tensor *const *inputs,
                     int count) {
    const cnn_op *op;
    CNN_TRY(cnn_op_find(&op, name));
    cJSON *config;
    CNN_TRY(cnn_json_parse(&config, name, attributes));
    void *object;
    cnn_status status = cnn_object_new(&object, &op->class, config);
    cJSON_Delete(config);
    CNN_TRY(status);
    status = apply(out, op, object, inputs, count, false);
    cnn_object_free(object);
    return status;
}
