/* The gradient tape.
 *
 * Open tapes form a stack per thread. An op applied to tensors is recorded by each tape that follows one of its inputs:
 * trainable variables (unless the tape was told otherwise), watched tensors, and whatever was made of those. A record
 * holds references to its tensors, so a tensor's address names it for as long as the tape lives. gradient() walks the
 * records backwards, with one gradient per tensor, summed where a tensor was used several times.
 *
 * A record keeps the version of each tensor its backward will read; if it has been written to since, the gradient would
 * be wrong, and is refused. Versions are counted in the tensor that owns the memory, so that views share them. */
#include "ops/tape.h"
#include "ops/activation.h"
#include "ops/arith.h"
#include "ops/dense.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdint.h>
#include <string.h>

enum { NAME = 32 };

typedef struct record {
    const cnn_op *op; /* NULL: something without a derivative, called name */
    char name[NAME];
    void *attributes; /* owned */
    cnn_op_info info;
    int n_inputs;
    cnn_tensor **inputs; /* retained */
    uint32_t *versions;  /* of the inputs, then of the output */
    cnn_tensor *output;  /* retained */
    void *saved;         /* owned */
    bool training;
    uint64_t step;
} record;

/* Tensors and a value for each: open addressing, a power of two of slots, at most half full. */
typedef struct table {
    const cnn_tensor **keys;
    cnn_tensor **values;
    size_t count, slots;
} table;

struct cnn_tape {
    bool persistent, watch_variables, open, spent;
    record *records;
    int count, capacity;
    table followed;       /* values: NULL */
    cnn_tensor **watched; /* retained */
    int watched_count;
    struct cnn_tape *outer; /* the one opened before */
};

static _Thread_local cnn_tape *innermost;

/* ---- tables -------------------------------------------------------------------------------------------- */

static size_t slot_of(const table *t, const cnn_tensor *key) {
    size_t slot = (size_t)(((uintptr_t)key >> 4) * 0x9E3779B97F4A7C15u >> 20) & (t->slots - 1);
    while (t->keys[slot] && t->keys[slot] != key) slot = (slot + 1) & (t->slots - 1);
    return slot;
}

static void table_free(table *t) {
    cnn_free(t->keys);
    cnn_free(t->values);
    *t = (table){0};
}

static cnn_status table_widen(table *t) {
    table wider = {.slots = t->slots ? 2 * t->slots : 64};
    wider.keys = cnn_calloc(wider.slots * sizeof *wider.keys);
    wider.values = cnn_calloc(wider.slots * sizeof *wider.values);
    if (!wider.keys || !wider.values) {
        table_free(&wider);
        return cnn_fail_memory(2 * wider.slots * sizeof *wider.keys);
    }
    for (size_t i = 0; i < t->slots; i++) {
        if (!t->keys[i]) continue;
        size_t slot = slot_of(&wider, t->keys[i]);
        wider.keys[slot] = t->keys[i];
        wider.values[slot] = t->values[i];
    }
    wider.count = t->count;
    table_free(t);
    *t = wider;
    return CNN_OK;
}

static bool table_has(const table *t, const cnn_tensor *key) {
    return t->slots > 0 && t->keys[slot_of(t, key)] == key;
}

/* The place of the key's value, which is added with NULL if it is not there. */
static cnn_status table_put(table *t, const cnn_tensor *key, cnn_tensor ***value) {
    if (2 * (t->count + 1) > t->slots) CNN_TRY(table_widen(t));
    size_t slot = slot_of(t, key);
    if (!t->keys[slot]) {
        t->keys[slot] = key;
        t->count++;
    }
    *value = &t->values[slot];
    return CNN_OK;
}

static cnn_status follow(cnn_tape *tape, const cnn_tensor *tensor) {
    cnn_tensor **ignored;
    return table_put(&tape->followed, tensor, &ignored);
}

/* ---- versions ------------------------------------------------------------------------------------------ */

static uint32_t version_of(const cnn_tensor *tensor) {
    while (tensor->base) tensor = tensor->base;
    return tensor->version;
}

void cnn_tape_written(cnn_tensor *tensor) {
    while (tensor->base) tensor = tensor->base;
    tensor->version++;
}

/* ---- recording ----------------------------------------------------------------------------------------- */

static bool follows(const cnn_tape *tape, const cnn_tensor *tensor) {
    return (tape->watch_variables && tensor->trainable) || table_has(&tape->followed, tensor);
}

static bool follows_any(const cnn_tape *tape, cnn_tensor *const *inputs, int n_inputs) {
    for (int i = 0; i < n_inputs; i++)
        if (follows(tape, inputs[i])) return true;
    return false;
}

bool cnn_tape_follows(cnn_tensor *const *inputs, int n_inputs) {
    for (const cnn_tape *tape = innermost; tape; tape = tape->outer)
        if (follows_any(tape, inputs, n_inputs)) return true;
    return false;
}

static void free_record(record *r) {
    for (int i = 0; r->inputs && i < r->n_inputs; i++) cnn_tensor_release(r->inputs[i]);
    cnn_tensor_release(r->output);
    cnn_free(r->inputs);
    cnn_free(r->versions);
    cnn_free(r->attributes);
    cnn_free(r->saved);
}

static void free_records(cnn_tape *tape) {
    for (int i = tape->count - 1; i >= 0; i--) free_record(&tape->records[i]);
    tape->count = 0;
}

static cnn_status reserve(cnn_tape *tape) {
    if (tape->count < tape->capacity) return CNN_OK;
    int wider = tape->capacity ? 2 * tape->capacity : 32;
    record *grown = cnn_realloc(tape->records, (size_t)wider * sizeof *grown);
    if (!grown) return cnn_fail_memory((size_t)wider * sizeof *grown);
    tape->records = grown;
    tape->capacity = wider;
    return CNN_OK;
}

/* Adds r, whose inputs and attributes are borrowed and copied; saved is taken over. */
static cnn_status add_record(cnn_tape *tape, record r, const void *attributes, cnn_tensor *const *inputs) {
    cnn_status status = reserve(tape);
    size_t size = r.op ? r.op->class.size : 0;
    r.inputs = cnn_calloc((size_t)r.n_inputs * sizeof *r.inputs);
    r.versions = cnn_calloc((size_t)(r.n_inputs + 1) * sizeof *r.versions);
    r.attributes = cnn_malloc(size);
    cnn_tensor_retain(r.output);
    if (status == CNN_OK && (!r.inputs || !r.versions || !r.attributes)) status = cnn_fail_memory(size);
    if (status == CNN_OK) status = follow(tape, r.output);
    if (status != CNN_OK) {
        free_record(&r);
        return status;
    }
    if (attributes) memcpy(r.attributes, attributes, size);
    for (int i = 0; i < r.n_inputs; i++) {
        r.inputs[i] = cnn_tensor_retain(inputs[i]);
        r.versions[i] = version_of(inputs[i]);
    }
    r.versions[r.n_inputs] = version_of(r.output);
    tape->records[tape->count++] = r;
    return CNN_OK;
}

/* Each tape owns its records whole, so for all but one of several open tapes the saved bytes are copied. */
static cnn_status share_saved(void **mine, void *saved) {
    if (!saved) return *mine = NULL, CNN_OK;
    size_t bytes = cnn_block_size(saved);
    *mine = cnn_malloc(bytes);
    if (!*mine) return cnn_fail_memory(bytes);
    memcpy(*mine, saved, bytes);
    return CNN_OK;
}

cnn_status cnn_tape_record(const cnn_op *op, const void *attributes, const cnn_op_info *info,
                           cnn_tensor *const *inputs, int n_inputs, cnn_tensor *output, void *saved,
                           bool training, uint64_t step) {
    cnn_status status = CNN_OK;
    for (cnn_tape *tape = innermost; tape && status == CNN_OK; tape = tape->outer) {
        if (!follows_any(tape, inputs, n_inputs)) continue;
        record r = {.op = op,
                    .info = *info,
                    .n_inputs = n_inputs,
                    .output = output,
                    .training = training,
                    .step = step};
        bool last = !tape->outer;
        if (last)
            r.saved = saved, saved = NULL;
        else
            status = share_saved(&r.saved, saved);
        if (status == CNN_OK) status = add_record(tape, r, attributes, inputs);
    }
    cnn_free(saved);
    return status;
}

/* The name of what made the tensor without a derivative, or NULL. */
static const char *blocked(const cnn_tape *tape, const cnn_tensor *tensor) {
    for (int i = tape->count - 1; i >= 0; i--)
        if (tape->records[i].output == tensor) return tape->records[i].op ? NULL : tape->records[i].name;
    return NULL;
}

cnn_status cnn_tape_block(const char *name, cnn_tensor *input, cnn_tensor *output) {
    for (cnn_tape *tape = innermost; tape; tape = tape->outer) {
        if (!follows(tape, input)) continue;
        const char *first = blocked(tape, input);
        record r = {.n_inputs = 1, .output = output};
        snprintf(r.name, sizeof r.name, "%s", first ? first : name);
        CNN_TRY(add_record(tape, r, NULL, &input));
    }
    return CNN_OK;
}

bool cnn_tape_made(const cnn_tensor *tensor) {
    for (const cnn_tape *tape = innermost; tape; tape = tape->outer)
        if (table_has(&tape->followed, tensor)) return true;
    return false;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void open(cnn_tape *tape) {
    if (tape->open) return;
    tape->open = true;
    tape->outer = innermost;
    innermost = tape;
}

cnn_status cnn_tape_new(cnn_tape **out, bool persistent, bool watch_variables) {
    cnn_tape *tape = cnn_calloc(sizeof *tape);
    if (!tape) return cnn_fail_memory(sizeof *tape);
    tape->persistent = persistent;
    tape->watch_variables = watch_variables;
    open(tape);
    *out = tape;
    return CNN_OK;
}

void cnn_tape_stop(cnn_tape *tape) {
    if (!tape->open) return;
    cnn_tape **link = &innermost;
    while (*link && *link != tape) link = &(*link)->outer;
    if (*link) *link = tape->outer;
    tape->open = false;
}

static void forget(cnn_tape *tape) {
    free_records(tape);
    for (int i = 0; i < tape->watched_count; i++) cnn_tensor_release(tape->watched[i]);
    tape->watched_count = 0;
    table_free(&tape->followed);
}

void cnn_tape_resume(cnn_tape *tape) {
    if (!tape->spent) open(tape);
}

void cnn_tape_reset(cnn_tape *tape) {
    forget(tape);
    tape->spent = false;
    open(tape);
}

void cnn_tape_free(cnn_tape *tape) {
    if (!tape) return;
    cnn_tape_stop(tape);
    forget(tape);
    cnn_free(tape->watched);
    cnn_free(tape->records);
    cnn_free(tape);
}

cnn_status cnn_tape_watch(cnn_tape *tape, cnn_tensor *tensor) {
    if (!tensor->data || tensor->dtype != CNN_FLOAT32)
        return cnn_fail(CNN_ERROR_DTYPE, "GradientTape: watch expects a float32 tensor with values, got %s",
                        tensor->data ? cnn_dtype_name(tensor->dtype) : "a symbolic one");
    if (tape->spent) return cnn_fail(CNN_ERROR_STATE, "GradientTape: watch on a spent tape; reset it first");
    size_t bytes = (size_t)(tape->watched_count + 1) * sizeof *tape->watched;
    cnn_tensor **grown = cnn_realloc(tape->watched, bytes);
    if (!grown) return cnn_fail_memory(bytes);
    tape->watched = grown;
    tape->watched[tape->watched_count++] = cnn_tensor_retain(tensor);
    return follow(tape, tensor);
}

/* ---- backwards ----------------------------------------------------------------------------------------- */

/* A gradient for each tensor that has one so far, owned; and the tensors whose gradients are wanted in the end. */
typedef struct gradients {
    table of, wanted;
} gradients;

static void free_gradients(gradients *g) {
    for (size_t i = 0; i < g->of.slots; i++) cnn_tensor_release(g->of.values[i]);
    table_free(&g->of);
    table_free(&g->wanted);
}

static cnn_tensor *gradient_of(const gradients *g, const cnn_tensor *tensor) {
    return g->of.slots > 0 ? g->of.values[slot_of(&g->of, tensor)] : NULL;
}

/* The gradients of several tensors may share memory, and then are not written to. */
static bool is_shared(const cnn_tensor *gradient) {
    return gradient->base || gradient->refs > 1;
}

/* Adds to the gradient of a tensor; `more` is taken over. */
static cnn_status add_gradient(gradients *g, const cnn_tensor *tensor, cnn_tensor *more) {
    cnn_tensor **sum, *made = NULL;
    cnn_status status = table_put(&g->of, tensor, &sum);
    if (status == CNN_OK && !*sum) {
        *sum = more;
        return CNN_OK;
    }
    if (status == CNN_OK && is_shared(*sum)) {
        status = cnn_binary(&made, CNN_ADD, *sum, more);
        if (status == CNN_OK) {
            cnn_tensor_release(*sum);
            *sum = made;
        }
    } else if (status == CNN_OK) {
        cnn_binary_into(*sum, CNN_ADD, *sum, more);
    }
    cnn_tensor_release(more);
    return status;
}

/* The gradient of a tensor whose maker has passed it on is not needed any more. */
static void drop_gradient(gradients *g, const cnn_tensor *tensor) {
    if (table_has(&g->wanted, tensor)) return;
    cnn_tensor **gradient = &g->of.values[slot_of(&g->of, tensor)];
    cnn_tensor_release(*gradient);
    *gradient = NULL;
}

static cnn_status check_versions(const record *r) {
    bool needs_output = r->op->needs & CNN_NEEDS_OUTPUT;
    for (int i = 0; i < r->n_inputs; i++)
        if (r->versions[i] != version_of(r->inputs[i]) && (i >= 30 || (r->op->needs >> i & 1)))
            return cnn_fail(CNN_ERROR_STATE,
                            "GradientTape: input %d of '%s' was changed in place after it was used", i + 1,
                            r->op->class.name);
    if (needs_output && r->versions[r->n_inputs] != version_of(r->output))
        return cnn_fail(CNN_ERROR_STATE, "GradientTape: the result of '%s' was changed in place",
                        r->op->class.name);
    return CNN_OK;
}

static bool wants(const cnn_tape *tape, const record *r, int input) {
    bool constant = input < 32 && (r->op->constant >> input & 1);
    return !constant && r->inputs[input]->dtype == CNN_FLOAT32 && follows(tape, r->inputs[input]);
}

/* True if the gradient of this input is that of the output, element by element. */
static bool passes_on(const record *r, int input) {
    bool sum = r->op == &cnn_op_add || (r->op == &cnn_op_subtract && input == 0);
    if (sum) return cnn_same_shape(r->inputs[input], r->output);
    return input == 0 && (r->op->alias || r->op == &cnn_op_bias_add);
}

static cnn_status share_gradient(gradients *g, const record *r, int input, cnn_tensor *dy) {
    cnn_tensor *shared;
    if (r->op->alias)
        CNN_TRY(cnn_reshape(&shared, dy, r->inputs[input]->rank, r->inputs[input]->shape));
    else
        shared = cnn_tensor_retain(dy);
    return add_gradient(g, r->inputs[input], shared);
}

/* relu's backward goes element by element, so that it may write over a gradient that nobody else needs. */
static bool may_overwrite(const gradients *g, const record *r, const cnn_tensor *dy) {
    return r->op == &cnn_op_relu && !is_shared(dy) && !table_has(&g->wanted, r->output);
}

/* Runs the op's backward for the inputs whose gradients are wanted, and adds these up. */
static cnn_status pass_back(const cnn_tape *tape, const record *r, cnn_tensor *dy, gradients *g) {
    cnn_tensor *grads[CNN_MAX_INPUTS] = {NULL};
    cnn_status status = CNN_OK;
    bool any = false;
    for (int i = 0; i < r->n_inputs && status == CNN_OK; i++) {
        if (!wants(tape, r, i)) continue;
        if (passes_on(r, i)) {
            status = share_gradient(g, r, i, dy);
            continue;
        }
        if (may_overwrite(g, r, dy))
            grads[i] = cnn_tensor_retain(dy);
        else
            status = cnn_tensor_alloc_like(&grads[i], r->inputs[i], CNN_FLOAT32);
        any = true;
    }
    if (status == CNN_OK && any)
        status = cnn_op_backward(r->op, r->attributes, &r->info, (const cnn_tensor *const *)r->inputs,
                                 r->n_inputs, r->output, r->saved, r->training, r->step, dy, grads);
    for (int i = 0; i < r->n_inputs; i++) {
        if (!grads[i]) continue;
        if (status == CNN_OK)
            status = add_gradient(g, r->inputs[i], grads[i]);
        else
            cnn_tensor_release(grads[i]);
    }
    return status;
}

static cnn_status step_back(const cnn_tape *tape, const record *r, gradients *g) {
    cnn_tensor *dy = gradient_of(g, r->output);
    if (!dy) return CNN_OK;
    if (!r->op) return cnn_fail(CNN_ERROR_STATE, "GradientTape: '%s' has no gradient", r->name);
    CNN_TRY(check_versions(r));
    CNN_TRY(pass_back(tape, r, dy, g));
    drop_gradient(g, r->output);
    return CNN_OK;
}

static cnn_status seed(gradients *g, cnn_tensor *target, const cnn_tensor *output_gradient) {
    cnn_tensor *ones;
    if (output_gradient) {
        if (!cnn_same_shape(target, output_gradient) || output_gradient->dtype != CNN_FLOAT32)
            return cnn_fail(CNN_ERROR_SHAPE,
                            "GradientTape: the output gradient must be float32 and shaped as the target");
        CNN_TRY(cnn_copy(&ones, output_gradient));
    } else {
        CNN_TRY(cnn_tensor_full(&ones, CNN_FLOAT32, target->rank, target->shape, 1));
    }
    return add_gradient(g, target, ones);
}

static cnn_status walk_back(cnn_tape *tape, gradients *g, cnn_tensor *target, cnn_tensor *const *sources,
                            int count, const cnn_tensor *output_gradient) {
    cnn_tensor **ignored;
    for (int i = 0; i < count; i++) CNN_TRY(table_put(&g->wanted, sources[i], &ignored));
    CNN_TRY(seed(g, target, output_gradient));
    for (int i = tape->count - 1; i >= 0; i--) {
        CNN_TRY(step_back(tape, &tape->records[i], g));
        if (cnn_interrupted()) return cnn_fail(CNN_ERROR_INTERRUPTED, "GradientTape: interrupted");
    }
    return CNN_OK;
}

/* New references to the gradients. To other open tapes they are constants: asking one of those for a gradient through
 * them is an error. */
static cnn_status take_out(const gradients *g, cnn_tensor *target, cnn_tensor *const *sources, int count,
                           cnn_tensor **out) {
    for (int i = 0; i < count; i++) {
        cnn_tensor *gradient = gradient_of(g, sources[i]);
        if (!gradient) continue;
        if (is_shared(gradient))
            CNN_TRY(cnn_copy(&out[i], gradient));
        else
            out[i] = cnn_tensor_retain(gradient);
    }
    for (int i = 0; i < count; i++)
        if (out[i]) CNN_TRY(cnn_tape_block("GradientTape:gradient", target, out[i]));
    return CNN_OK;
}

static cnn_status check_target(const cnn_tape *tape, const cnn_tensor *target) {
    if (tape->spent)
        return cnn_fail(CNN_ERROR_STATE,
                        "GradientTape: gradient was already taken; for more than once make it persistent");
    if (!target->data)
        return cnn_fail(CNN_ERROR_DTYPE, "GradientTape: the target is symbolic, it has no values");
    if (target->dtype != CNN_FLOAT32) {
        const char *name = blocked(tape, target);
        if (name) return cnn_fail(CNN_ERROR_STATE, "GradientTape: '%s' has no gradient", name);
        return cnn_fail(CNN_ERROR_DTYPE, "GradientTape: the target must be float32, got %s",
                        cnn_dtype_name(target->dtype));
    }
    if (!follows(tape, target))
        return cnn_fail(CNN_ERROR_STATE,
                        "GradientTape: the target was not recorded: it was not computed from "
                        "variables or watched tensors while the tape was open");
    return CNN_OK;
}

cnn_status cnn_tape_gradient(cnn_tape *tape, cnn_tensor *target, cnn_tensor *const *sources, int count,
                             const cnn_tensor *output_gradient, cnn_tensor **out) {
    CNN_TRY(check_target(tape, target));
    if (!tape->persistent) cnn_tape_stop(tape);
    gradients g = {0};
    for (int i = 0; i < count; i++) out[i] = NULL;
    cnn_status status = walk_back(tape, &g, target, sources, count, output_gradient);
    if (status == CNN_OK) status = take_out(&g, target, sources, count, out);
    free_gradients(&g);
    for (int i = 0; status != CNN_OK && i < count; i++) {
        cnn_tensor_release(out[i]);
        out[i] = NULL;
    }
    if (!tape->persistent) {
        tape->spent = true;
        forget(tape);
    }
    return status;
}
