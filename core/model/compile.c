/* Graph → steps. The graph's nodes, walked from the outputs, become steps in an order in which every value is made
 * before it is read. Ops that only rename memory dissolve into aliases; a softmax or sigmoid right before a
 * crossentropy gives way to the loss from logits, which is stable and has the simpler gradient. */
#include "model/plan_types.h"
#include "model/graph.h"
#include "layers/layer.h"
#include "base/memory.h"
#include "base/status.h"
#include "ops/loss.h"

#include <string.h>

/* ---- values ---------------------------------------------------------------------------------------------- */

static cnn_status add_value(cnn_plan *plan, value v, int *index) {
    CNN_TRY(cnn_list_grow((void **)&plan->values, plan->n_values, &plan->value_capacity, sizeof v));
    *index = plan->n_values;
    plan->values[plan->n_values++] = v;
    return CNN_OK;
}

/* Sets the header for the whole batch. */
static cnn_status set_head(const cnn_plan *plan, value *v, cnn_dtype dtype, int rank, const int64_t *shape) {
    int64_t sizes[CNN_MAX_RANK];
    for (int i = 0; i < rank; i++) sizes[i] = i == 0 && v->sampled ? plan->batch : shape[i];
    if (cnn_shape_size("model", dtype, rank, sizes) < 0) return CNN_ERROR_SHAPE;
    v->head = cnn_tensor_wrap(dtype, rank, sizes, NULL);
    return CNN_OK;
}

static cnn_status add_variable(cnn_plan *plan, cnn_tensor *tensor, int *index) {
    CNN_TRY(cnn_list_grow((void **)&plan->variables, plan->n_variables, &plan->variable_capacity,
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

/* True if a symbolic tensor's first size is the unknown one. */
static bool has_batch(const cnn_tensor *tensor) {
    return tensor->rank > 0 && tensor->shape[0] < 0;
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

static cnn_status infer(const cnn_plan *plan, const cnn_op *op, const void *attributes, const int *inputs,
                        int n_inputs, bool training, cnn_op_info *info) {
    const cnn_tensor *heads[CNN_MAX_INPUTS];
    for (int i = 0; i < n_inputs; i++) heads[i] = &plan->values[inputs[i]].head;
    return cnn_op_infer(op, attributes, heads, n_inputs, training, info);
}

static cnn_status infer_step(const cnn_plan *plan, step *s) {
    return infer(plan, s->op, s->attributes, s->inputs, s->n_inputs, s->training, &s->info);
}

/* Adds a step and its output value. source: the graph's tensor, or NULL for a loss. */
static cnn_status add_step(cnn_plan *plan, const cnn_op *op, const void *attributes, const int *inputs,
                           int n_inputs, const cnn_tensor *source, int *output) {
    CNN_TRY(cnn_list_grow((void **)&plan->steps, plan->n_steps, &plan->step_capacity, sizeof *plan->steps));
    step *s = &plan->steps[plan->n_steps++];
    CNN_TRY(new_step(s, op, attributes, inputs, n_inputs));
    s->training = plan->training && !(source && source->node->inference);
    CNN_TRY(infer_step(plan, s));
    const cnn_call *call = source ? cnn_call_of(source) : NULL;
    if (call) s->layer = call->layer;

    value v = {.kind = VALUE_COMPUTED, .source = source, .index = -1, .alias_of = -1};
    v.sampled = (!source || has_batch(source)) && s->info.rank > 0 && s->info.shape[0] == plan->batch;
    CNN_TRY(set_head(plan, &v, s->info.dtype, s->info.rank, s->info.shape));
    s->per_sample = s->info.per_sample && v.sampled;
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

/* ---- the graph ------------------------------------------------------------------------------------------- */

/* An alias of a sampled value takes its memory, and needs no step. */
static cnn_status add_alias(cnn_plan *plan, const cnn_tensor *tensor, const cnn_op_info *info, int input,
                            int *index) {
    value v = {.kind = VALUE_COMPUTED,
               .source = tensor,
               .index = -1,
               .alias_of = plan_root(plan, input),
               .sampled = true,
               .needs_gradient = plan->values[input].needs_gradient};
    CNN_TRY(set_head(plan, &v, info->dtype, info->rank, info->shape));
    return add_value(plan, v, index);
}

static cnn_status add_node(cnn_plan *plan, const cnn_tensor *tensor, const int *inputs, int *index) {
    const cnn_node *node = tensor->node;
    if (node->op->alias && node->op->backward && has_batch(tensor) && plan->values[inputs[0]].sampled) {
        cnn_op_info info;
        CNN_TRY(infer(plan, node->op, node->attributes, inputs, node->n_inputs,
                      plan->training && !node->inference, &info));
        if (info.shape[0] == plan->batch) return add_alias(plan, tensor, &info, inputs[0], index);
    }
    return add_step(plan, node->op, node->attributes, inputs, node->n_inputs, tensor, index);
}

/* values: for each tensor of the graph, its value. */
static cnn_status add_inputs(cnn_plan *plan, const cnn_plan_options *options, const cnn_graph *graph,
                             int *values) {
    for (int i = 0; i < options->n_inputs; i++) {
        const cnn_tensor *t = options->inputs[i];
        value v = {.kind = VALUE_INPUT, .source = t, .index = i, .alias_of = -1, .sampled = true};
        CNN_TRY(set_head(plan, &v, t->dtype, t->rank, t->shape));
        CNN_TRY(add_value(plan, v, &values[cnn_graph_find(graph, t)]));
    }
    return CNN_OK;
}

static cnn_status add_graph(cnn_plan *plan, const cnn_plan_options *options, const cnn_graph *graph,
                            int *values) {
    for (int i = 0; i < graph->count; i++) values[i] = -1;
    CNN_TRY(add_inputs(plan, options, graph, values));
    for (int i = 0; i < graph->count; i++) {
        cnn_tensor *t = graph->tensors[i];
        int inputs[CNN_MAX_INPUTS];
        if (values[i] >= 0) continue;
        for (int k = 0; !t->data && k < t->node->n_inputs; k++)
            inputs[k] = values[cnn_graph_find(graph, t->node->inputs[k])];
        CNN_TRY(t->data ? add_constant(plan, t, &values[i]) : add_node(plan, t, inputs, &values[i]));
    }
    return CNN_OK;
}

static cnn_status take_outputs(cnn_plan *plan, const cnn_plan_options *options, const cnn_graph *graph,
                               const int *values) {
    for (int i = 0; i < options->n_outputs; i++) {
        plan->outputs[i] = values[cnn_graph_find(graph, options->outputs[i])];
        value *v = &plan->values[plan->outputs[i]];
        v->wanted = true;
        if (has_batch(options->outputs[i]) && !v->sampled)
            return cnn_fail(CNN_ERROR_SHAPE,
                            "model: output %d has %lld rows for a batch of %lld samples; one each is needed",
                            i + 1, (long long)v->head.shape[0], (long long)plan->batch);
    }
    return CNN_OK;
}

static cnn_status add_everything(cnn_plan *plan, const cnn_plan_options *options) {
    cnn_graph graph = {0};
    cnn_status status = cnn_graph_walk(&graph, CNN_EDGES_OPS, options->inputs, options->n_inputs,
                                       options->outputs, options->n_outputs);
    int *values = cnn_malloc((size_t)graph.count * sizeof *values);
    if (status == CNN_OK && !values) status = cnn_fail_memory((size_t)graph.count * sizeof *values);
    if (status == CNN_OK) status = add_graph(plan, options, &graph, values);
    if (status == CNN_OK) status = take_outputs(plan, options, &graph, values);
    cnn_free(values);
    cnn_graph_free(&graph);
    return status;
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
    CNN_TRY(set_head(plan, &label, loss->label->dtype, loss->label->rank, loss->label->shape));
    int inputs[2] = {plan->outputs[loss->output], 0};
    CNN_TRY(add_value(plan, label, &inputs[1]));

    cnn_loss attributes = *(const cnn_loss *)loss->attributes;
    const step *last = maker(plan, inputs[0]);
    if (last && cnn_loss_takes_logits_of(loss->op, &attributes, last->op, last->attributes, &last->info)) {
        attributes.from_logits = true;
        inputs[0] = last->inputs[0];
    }
    CNN_TRY(add_step(plan, loss->op, &attributes, inputs, 2, NULL, &plan->losses[position]));
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
    CNN_TRY(add_everything(plan, options));
    for (int i = 0; i < options->n_losses; i++) CNN_TRY(add_loss(plan, &options->losses[i], i));
    count_consumers(plan);
    if (plan->gradients) mark_backward(plan);
    CNN_TRY(cnn_plan_fuse(plan));
    for (int i = 0; i < plan->n_steps; i++) CNN_TRY(infer_step(plan, &plan->steps[i]));
    count_consumers(plan);
    return CNN_OK;
}
