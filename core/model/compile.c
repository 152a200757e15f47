/* Graph → steps. The graph's nodes, walked from the outputs, become steps in an order in which every value is made
 * before it is read. Ops that only rename memory dissolve into aliases; a softmax or sigmoid right before a
 * crossentropy gives way to the loss from logits, which is stable and has the simpler gradient. */
#include "model/plan_types.h"
#include "base/memory.h"
#include "base/status.h"
#include "ops/loss.h"

#include <string.h>

/* ---- growing lists --------------------------------------------------------------------------------------- */

static cnn_status grow(void **items, int count, int *capacity, size_t size) {
    if (count < *capacity) return CNN_OK;
    int wider = *capacity ? 2 * *capacity : 32;
    void *grown = cnn_realloc(*items, (size_t)wider * size);
    if (!grown) return cnn_fail_memory((size_t)wider * size);
    *items = grown;
    *capacity = wider;
    return CNN_OK;
}

static cnn_status add_value(cnn_plan *plan, value v, int *index) {
    CNN_TRY(grow((void **)&plan->values, plan->n_values, &plan->value_capacity, sizeof v));
    *index = plan->n_values;
    plan->values[plan->n_values++] = v;
    return CNN_OK;
}

/* A header for the whole batch. */
static cnn_tensor head_for(const cnn_plan *plan, cnn_dtype dtype, int rank, const int64_t *shape,
                           bool sampled) {
    int64_t sizes[CNN_MAX_RANK];
    for (int i = 0; i < rank; i++) sizes[i] = i == 0 && sampled ? plan->batch : shape[i];
    return cnn_tensor_wrap(dtype, rank, sizes, NULL);
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static int find_value(const cnn_plan *plan, const cnn_tensor *source) {
    for (int i = plan->n_values - 1; i >= 0; i--)
        if (plan->values[i].source == source) return i;
    return -1;
}

static cnn_status add_variable(cnn_plan *plan, cnn_tensor *tensor, int *index) {
    CNN_TRY(grow((void **)&plan->variables, plan->n_variables, &plan->variable_capacity,
                 sizeof *plan->variables));
    *index = plan->n_variables++;
    plan->variables[*index] =
        (variable){.tensor = cnn_tensor_retain(tensor), .gradient = plan->gradient_floats};
    plan->gradient_floats += CNN_ROUND_UP((size_t)tensor->size, CNN_ALIGN / sizeof(float));
    return CNN_OK;
}

/* A tensor of the graph that has data: a variable of a layer or a constant. */
static cnn_status add_constant(cnn_plan *plan, cnn_tensor *tensor, int *index) {
    value v = {.kind = VALUE_CONSTANT, .head = *tensor, .source = tensor, .index = -1, .alias_of = -1};
    if (plan->gradients && tensor->trainable) {
        CNN_TRY(add_variable(plan, tensor, &v.index));
        v.needs_gradient = true;
    }
    return add_value(plan, v, index);
}

/* ---- steps ----------------------------------------------------------------------------------------------- */

static cnn_status new_step(step *s, const cnn_op *op, const void *attributes, const int *inputs,
                           int n_inputs) {
    size_t bytes = (size_t)n_inputs * sizeof *s->inputs;
    *s = (step){.op = op,
                .n_inputs = n_inputs,
                .attributes = cnn_malloc(op->class.size),
                .inputs = cnn_malloc(bytes),
                .modes = cnn_calloc((size_t)n_inputs * sizeof *s->modes),
                .temporaries = cnn_calloc((size_t)n_inputs * sizeof *s->temporaries)};
    if (!s->attributes || !s->inputs || !s->modes || !s->temporaries) return cnn_fail_memory(bytes);
    memcpy(s->attributes, attributes, op->class.size);
    memcpy(s->inputs, inputs, bytes);
    return CNN_OK;
}

static cnn_status infer_step(const cnn_plan *plan, step *s) {
    const cnn_tensor *heads[64];
    if (s->n_inputs > 64) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: too many inputs", s->op->class.name);
    for (int i = 0; i < s->n_inputs; i++) heads[i] = &plan->values[s->inputs[i]].head;
    return cnn_op_infer(s->op, s->attributes, heads, s->n_inputs, &s->info);
}

/* Adds a step and its output value. source: the graph's tensor, or NULL. */
static cnn_status add_step(cnn_plan *plan, const cnn_op *op, const void *attributes, const int *inputs,
                           int n_inputs, const cnn_tensor *source, bool sampled, int *output) {
    CNN_TRY(grow((void **)&plan->steps, plan->n_steps, &plan->step_capacity, sizeof *plan->steps));
    step *s = &plan->steps[plan->n_steps++];
    CNN_TRY(new_step(s, op, attributes, inputs, n_inputs));
    CNN_TRY(infer_step(plan, s));

    value v = {.kind = VALUE_COMPUTED, .source = source, .index = -1, .alias_of = -1, .sampled = sampled};
    v.head = head_for(plan, s->info.dtype, s->info.rank, s->info.shape, sampled);
    s->per_sample = s->info.per_sample && sampled;
    for (int i = 0; i < n_inputs; i++) {
        const value *in = &plan->values[inputs[i]];
        if (!in->sampled && !step_shares(s, i)) s->per_sample = false;
        /* Weights that are themselves computed: their gradient can't be summed by lanes. */
        if (in->kind == VALUE_COMPUTED && !in->sampled && in->needs_gradient) s->per_sample = false;
        if (in->needs_gradient && op->backward) v.needs_gradient = true;
    }
    CNN_TRY(add_value(plan, v, &s->output));
    *output = s->output;
    return CNN_OK;
}

/* ---- the walk -------------------------------------------------------------------------------------------- */

static cnn_status visit(cnn_plan *plan, cnn_tensor *tensor, int *index);

/* An alias of a sampled value takes its memory, and needs no step. */
static cnn_status add_alias(cnn_plan *plan, const cnn_tensor *tensor, int input, int *index) {
    value v = {.kind = VALUE_COMPUTED, .source = tensor, .index = -1, .alias_of = input, .sampled = true};
    v.head = head_for(plan, tensor->dtype, tensor->rank, tensor->shape, true);
    v.needs_gradient = plan->values[input].needs_gradient;
    return add_value(plan, v, index);
}

static cnn_status visit_node(cnn_plan *plan, cnn_tensor *tensor, int *index) {
    const cnn_node *node = tensor->node;
    int inputs[64];
    if (!node->op)
        return cnn_fail(CNN_ERROR_STATE,
                        "model: an input that the outputs depend on is not among its inputs");
    if (node->n_inputs > 64) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: too many inputs", node->op->class.name);
    for (int i = 0; i < node->n_inputs; i++) CNN_TRY(visit(plan, node->inputs[i], &inputs[i]));
    bool sampled = tensor->rank > 0 && tensor->shape[0] < 0;
    if (node->op->alias && node->op->backward && sampled && plan->values[inputs[0]].sampled)
        return add_alias(plan, tensor, inputs[0], index);
    return add_step(plan, node->op, node->attributes, inputs, node->n_inputs, tensor, sampled, index);
}

static cnn_status visit(cnn_plan *plan, cnn_tensor *tensor, int *index) {
    *index = find_value(plan, tensor);
    if (*index >= 0) return CNN_OK;
    return tensor->data ? add_constant(plan, tensor, index) : visit_node(plan, tensor, index);
}

static cnn_status add_inputs(cnn_plan *plan, const cnn_plan_options *options) {
    for (int i = 0; i < options->n_inputs; i++) {
        const cnn_tensor *t = options->inputs[i];
        value v = {.kind = VALUE_INPUT, .source = t, .index = i, .alias_of = -1, .sampled = true};
        v.head = head_for(plan, t->dtype, t->rank, t->shape, true);
        int ignored;
        CNN_TRY(add_value(plan, v, &ignored));
    }
    return CNN_OK;
}

/* ---- losses ---------------------------------------------------------------------------------------------- */

/* The step that makes a value, or NULL. */
static const step *maker(const cnn_plan *plan, int index) {
    for (int i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].output == index) return &plan->steps[i];
    return NULL;
}

static cnn_status add_loss(cnn_plan *plan, const cnn_plan_loss *loss, int position) {
    value label = {.kind = VALUE_LABEL, .index = position, .alias_of = -1, .sampled = true};
    label.head = head_for(plan, loss->label->dtype, loss->label->rank, loss->label->shape, true);
    int inputs[2] = {plan->outputs[loss->output], 0};
    CNN_TRY(add_value(plan, label, &inputs[1]));

    cnn_loss attributes = *(const cnn_loss *)loss->attributes;
    const step *last = maker(plan, inputs[0]);
    if (last && cnn_loss_takes_logits_of(loss->op, &attributes, last->op, last->attributes, &last->info)) {
        attributes.from_logits = true;
        inputs[0] = last->inputs[0];
    }
    CNN_TRY(add_step(plan, loss->op, &attributes, inputs, 2, NULL, true, &plan->losses[position]));
    plan->values[plan->losses[position]].wanted = true;
    return CNN_OK;
}

/* ---- what backward needs --------------------------------------------------------------------------------- */

/* Marks the steps whose backward reaches a variable from a loss. */
static void mark_backward(cnn_plan *plan) {
    for (int i = 0; i < plan->n_values; i++)
        if (plan->values[i].kind == VALUE_COMPUTED) plan->values[i].gradient_started = false;
    for (int i = 0; i < plan->n_losses; i++) plan->values[plan->losses[i]].gradient_started = true;
    for (int i = plan->n_steps - 1; i >= 0; i--) {
        step *s = &plan->steps[i];
        int output = plan_root(plan, s->output);
        if (!plan->values[output].gradient_started || !plan->values[output].needs_gradient) continue;
        s->backward = true;
        for (int j = 0; j < s->n_inputs; j++)
            if (j >= 32 || !(s->op->constant >> j & 1))
                plan->values[plan_root(plan, s->inputs[j])].gradient_started = true;
    }
    for (int i = 0; i < plan->n_values; i++) plan->values[i].gradient_started = false;
}

static void count_consumers(cnn_plan *plan) {
    for (int i = 0; i < plan->n_values; i++) plan->values[i].consumers = plan->values[i].wanted ? 1 : 0;
    for (int i = 0; i < plan->n_values; i++)
        if (plan->values[i].wanted && plan->values[i].alias_of >= 0)
            plan->values[plan_root(plan, i)].consumers++;
    for (int i = 0; i < plan->n_steps; i++)
        for (int j = 0; j < plan->steps[i].n_inputs; j++)
            plan->values[plan_root(plan, plan->steps[i].inputs[j])].consumers++;
}

cnn_status cnn_plan_compile(cnn_plan *plan, const cnn_plan_options *options) {
    CNN_TRY(add_inputs(plan, options));
    for (int i = 0; i < options->n_outputs; i++) {
        CNN_TRY(visit(plan, options->outputs[i], &plan->outputs[i]));
        plan->values[plan->outputs[i]].wanted = true;
    }
    for (int i = 0; i < options->n_losses; i++) CNN_TRY(add_loss(plan, &options->losses[i], i));
    count_consumers(plan);
    if (plan->gradients) mark_backward(plan);
    cnn_plan_fuse(plan);
    for (int i = 0; i < plan->n_steps; i++) CNN_TRY(infer_step(plan, &plan->steps[i]));
    count_consumers(plan);
    return CNN_OK;
}
