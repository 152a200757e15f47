#include "model/model.h"
#include "model/graph.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

/* ---- life ---------------------------------------------------------------------------------------------- */

static const cnn_param model_params[] = {CNN_LAYER_PARAMS, {0}};

static void release_tensors(cnn_tensor **list, int count) {
    for (int i = 0; i < count; i++) cnn_tensor_release(list[i]);
    cnn_free(list);
}

static void drop_wiring(cnn_model *model) {
    release_tensors(model->inputs, model->n_inputs);
    release_tensors(model->outputs, model->n_outputs);
    model->inputs = model->outputs = NULL;
    model->n_inputs = model->n_outputs = 0;
    model->layer.built = false;
    model->version++;
}

static void close_model(cnn_layer *layer) {
    cnn_model *model = (cnn_model *)layer;
    if (model->trainer) model->free_trainer(model->trainer);
    drop_wiring(model);
    for (int i = 0; i < model->layer_count; i++) cnn_layer_release(model->layers[i]);
    cnn_free(model->layers);
}

static void set_layers_trainable(cnn_layer *layer, bool trainable) {
    cnn_model *model = (cnn_model *)layer;
    for (int i = 0; i < model->layer_count; i++) cnn_layer_set_trainable(model->layers[i], trainable);
    model->version++;
}

static cnn_status new_model(cnn_model **out, const cnn_layer_class *class, const char *name) {
    cJSON *config = cJSON_CreateObject();
    if (!config || (name && !cJSON_AddStringToObject(config, "name", name))) {
        cJSON_Delete(config);
        return cnn_fail_memory(64);
    }
    cnn_layer *layer;
    cnn_status status = cnn_layer_create(&layer, &class->class, config);
    cJSON_Delete(config);
    CNN_TRY(status);
    *out = (cnn_model *)layer;
    return CNN_OK;
}

cnn_model *cnn_model_retain(cnn_model *model) {
    cnn_layer_retain(&model->layer);
    return model;
}

void cnn_model_release(cnn_model *model) {
    cnn_layer_release(model ? &model->layer : NULL);
}

cnn_layer *cnn_model_as_layer(cnn_model *model) {
    return &model->layer;
}

int cnn_model_layer_count(const cnn_model *model) {
    return model->layer_count;
}

cnn_layer *cnn_model_layer(const cnn_model *model, int index) {
    return index >= 0 && index < model->layer_count ? model->layers[index] : NULL;
}

cnn_status cnn_model_get_layer(cnn_layer **borrowed, const cnn_model *model, const char *name) {
    enum { MOST = 256 };
    const char *names[MOST + 1];
    int count = 0;
    for (int i = 0; i < model->layer_count; i++) {
        if (strcmp(model->layers[i]->name, name) == 0) {
            *borrowed = model->layers[i];
            return CNN_OK;
        }
        if (count < MOST) names[count++] = model->layers[i]->name;
    }
    names[count] = NULL;
    const char *nearest = cnn_nearest(name, names);
    return cnn_fail(CNN_ERROR_ARGUMENT,
                    nearest ? "get_layer: no layer '%s' (did you mean '%s'?)" : "get_layer: no layer '%s'",
                    name, nearest);
}

/* ---- layers -------------------------------------------------------------------------------------------- */

static cnn_status append_layer(cnn_model *model, cnn_layer *layer) {
    size_t bytes = (size_t)(model->layer_count + 1) * sizeof *model->layers;
    cnn_layer **grown = cnn_realloc(model->layers, bytes);
    if (!grown) return cnn_fail_memory(bytes);
    model->layers = grown;
    model->layers[model->layer_count++] = cnn_layer_retain(layer);
    return CNN_OK;
}

static bool holds_variable(const cnn_layer *model, const cnn_variable *variable) {
    for (int i = 0; i < model->variable_count; i++)
        if (model->variables[i] == variable) return true;
    return false;
}

/* Adds a layer's variables to the model's own list. */
static cnn_status add_variables(cnn_model *model, const cnn_layer *layer) {
    cnn_layer *self = &model->layer;
    size_t most = (size_t)(self->variable_count + layer->variable_count) * sizeof *self->variables;
    if (!self->variables || cnn_block_size(self->variables) < most) {
        cnn_variable **grown = cnn_realloc(self->variables, most);
        if (!grown) return cnn_fail_memory(most);
        self->variables = grown;
    }
    for (int i = 0; i < layer->variable_count; i++) {
        if (holds_variable(self, layer->variables[i])) continue;
        layer->variables[i]->refs++;
        self->variables[self->variable_count++] = layer->variables[i];
    }
    return CNN_OK;
}

static void drop_variables(cnn_model *model) {
    cnn_layer *self = &model->layer;
    for (int i = 0; i < self->variable_count; i++) cnn_variable_release(self->variables[i]);
    self->variable_count = 0;
}

/* Of fewer layers than before it needs no memory, and so cannot fail. */
static cnn_status collect_variables(cnn_model *model) {
    drop_variables(model);
    for (int i = 0; i < model->layer_count; i++) CNN_TRY(add_variables(model, model->layers[i]));
    return CNN_OK;
}

int64_t cnn_model_count_params(const cnn_model *model) {
    int64_t count = 0;
    for (int i = 0; i < model->layer.variable_count; i++) count += model->layer.variables[i]->value->size;
    return count;
}

/* ---- names of inputs and outputs ------------------------------------------------------------------------- */

static const char *tensor_name(const cnn_tensor *tensor) {
    const cnn_call *call = cnn_call_of(tensor);
    return call ? call->layer->name : tensor->node->op ? tensor->node->op->class.name : "input";
}

/* Keras numbers names that come again: "inner", then "inner_1". */
static char *numbered_name(char *buffer, size_t capacity, cnn_tensor *const *tensors, int index) {
    const char *name = tensor_name(tensors[index]);
    int before = 0;
    for (int i = 0; i < index; i++) before += strcmp(tensor_name(tensors[i]), name) == 0;
    snprintf(buffer, capacity, before > 0 ? "%.100s_%d" : "%.100s", name, before);
    return buffer;
}

char *cnn_model_input_name(char *buffer, size_t capacity, const cnn_model *model, int input) {
    if (!model->sequential) return numbered_name(buffer, capacity, model->inputs, input);
    snprintf(buffer, capacity, "%.100s_input",
             model->layer_count > 0 ? model->layers[0]->name : model->layer.name);
    return buffer;
}

char *cnn_model_output_name(char *buffer, size_t capacity, const cnn_model *model, int output) {
    if (!model->sequential) return numbered_name(buffer, capacity, model->outputs, output);
    snprintf(buffer, capacity, "%.100s",
             model->layer_count > 0 ? model->layers[model->layer_count - 1]->name : model->layer.name);
    return buffer;
}

/* ---- state ----------------------------------------------------------------------------------------------- */

cnn_status cnn_model_expect_idle(const cnn_model *model, const char *who) {
    if (!model->run) return CNN_OK;
    return cnn_fail(CNN_ERROR_STATE,
                    "%s: model '%s' is running; wait until fit, evaluate or predict has ended", who,
                    model->layer.name);
}

cnn_status cnn_model_expect_built(const cnn_model *model, const char *who) {
    if (model->n_outputs > 0) return CNN_OK;
    return cnn_fail(
        CNN_ERROR_STATE,
        "%s: model '%s' does not know its input's shape yet; give its first layer input_shape, or call build",
        who, model->layer.name);
}

static cnn_status store(cnn_tensor ***list, int *count, cnn_tensor *const *tensors, int n) {
    *list = cnn_malloc((size_t)n * sizeof **list);
    if (!*list) return cnn_fail_memory((size_t)n * sizeof **list);
    for (int i = 0; i < n; i++) (*list)[i] = cnn_tensor_retain(tensors[i]);
    *count = n;
    return CNN_OK;
}

/* ---- Sequential ---------------------------------------------------------------------------------------- */

static cnn_status expect_one_output(const cnn_layer *layer) {
    if (cnn_layer_output_count(layer) == 1) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT,
                    "Sequential: layer '%s' has %d outputs; the layers of a Sequential have one each",
                    layer->name, cnn_layer_output_count(layer));
}

/* Sends x (consumed) through layers from `first` on. */
static cnn_status chain(cnn_tensor **out, const cnn_model *model, int first, cnn_tensor *x, bool training) {
    for (int i = first; i < model->layer_count; i++) {
        cnn_tensor *y;
        cnn_status status = expect_one_output(model->layers[i]);
        if (status == CNN_OK) status = cnn_layer_call(&y, model->layers[i], &x, 1, training);
        cnn_tensor_release(x);
        CNN_TRY(status);
        x = y;
    }
    *out = x;
    return CNN_OK;
}

static cnn_status call_sequential(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                                  bool training) {
    (void)n_inputs;
    return chain(out, (cnn_model *)layer, 0, cnn_tensor_retain(inputs[0]), training);
}

static cnn_status wire_from(cnn_model *model, cnn_tensor *input) {
    cnn_tensor *output;
    CNN_TRY(chain(&output, model, 0, cnn_tensor_retain(input), false));
    cnn_status status = store(&model->inputs, &model->n_inputs, &input, 1);
    if (status == CNN_OK) status = store(&model->outputs, &model->n_outputs, &output, 1);
    cnn_tensor_release(output);
    if (status == CNN_OK) status = collect_variables(model);
    if (status != CNN_OK) {
        drop_wiring(model);
        drop_variables(model);
    }
    model->layer.built = status == CNN_OK;
    return status;
}

static cnn_status wire(cnn_model *model, int rank, const int64_t *sample_shape) {
    cnn_tensor *input;
    CNN_TRY(cnn_symbolic_input(&input, rank, sample_shape, CNN_FLOAT32));
    cnn_status status = wire_from(model, input);
    cnn_tensor_release(input);
    return status;
}

/* Called on an input: the wiring is made once, for this shape of sample. */
static cnn_status build_sequential(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs) {
    (void)n_inputs;
    return wire((cnn_model *)layer, inputs[0]->rank - 1, inputs[0]->shape + 1);
}

const cnn_layer_class cnn_sequential_class = {
    .class = CNN_CLASS("layer", "Sequential", NULL, cnn_model, model_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .build = build_sequential,
    .call = call_sequential,
    .close = close_model,
    .set_trainable = set_layers_trainable};

cnn_status cnn_sequential_new(cnn_model **out, const char *name) {
    CNN_TRY(new_model(out, &cnn_sequential_class, name));
    (*out)->sequential = true;
    return CNN_OK;
}

static void forget_last(cnn_model *model) {
    cnn_layer_release(model->layers[--model->layer_count]);
}

/* Takes the output over. */
static void end_in(cnn_model *model, cnn_tensor *output) {
    cnn_tensor_release(model->outputs[0]);
    model->outputs[0] = output;
    model->version++;
}

/* The layer joins the wiring that is there. */
static cnn_status extend(cnn_model *model, cnn_layer *layer) {
    cnn_tensor *y;
    CNN_TRY(expect_one_output(layer));
    CNN_TRY(cnn_layer_call(&y, layer, model->outputs, 1, false));
    cnn_status status = add_variables(model, layer);
    if (status == CNN_OK)
        end_in(model, y);
    else
        cnn_tensor_release(y);
    return status;
}

/* True if the layer is the model, or a model with the model somewhere within. */
static bool contains(const cnn_layer *layer, const cnn_model *model) {
    if (layer == &model->layer) return true;
    if (layer->class != &cnn_sequential_class.class && layer->class != &cnn_functional_class.class)
        return false;
    const cnn_model *within = (const cnn_model *)layer;
    for (int i = 0; i < within->layer_count; i++)
        if (contains(within->layers[i], model)) return true;
    return false;
}

/* Keras's Sequential does not count its input among its layers. */
static cnn_status add_input(cnn_model *model, const cnn_layer *layer) {
    if (model->layer_count > 0 || model->n_outputs > 0)
        return cnn_fail(CNN_ERROR_STATE, "add: an Input can only come first");
    return wire(model, layer->input_shape.rank, layer->input_shape.sizes);
}

/* The first layer's word on the samples: its input_shape, or, of a model that is built, what that was built for. */
static cnn_status wire_by_first(cnn_model *model, const cnn_layer *layer) {
    const cnn_shape *shape = &layer->input_shape;
    if (shape->rank >= 0) return wire(model, shape->rank, shape->sizes);
    const cnn_model *inner = cnn_layer_is_model(layer) ? (const cnn_model *)layer : NULL;
    if (!inner || inner->n_inputs != 1) return CNN_OK;
    return wire(model, inner->inputs[0]->rank - 1, inner->inputs[0]->shape + 1);
}

cnn_status cnn_model_add(cnn_model *model, cnn_layer *layer) {
    CNN_TRY(cnn_model_expect_idle(model, "add"));
    if (!model->sequential)
        return cnn_fail(CNN_ERROR_STATE,
                        "add: only a Sequential model can have layers added; '%s' is functional",
                        model->layer.name);
    if (strcmp(layer->class->name, "InputLayer") == 0) return add_input(model, layer);
    if (contains(layer, model))
        return cnn_fail(CNN_ERROR_ARGUMENT, "add: model '%s' cannot be a layer of itself", model->layer.name);
    for (int i = 0; i < model->layer_count; i++)
        if (strcmp(model->layers[i]->name, layer->name) == 0)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "add: the model already has a layer named '%s'; names must differ", layer->name);
    CNN_TRY(append_layer(model, layer));
    cnn_status status = CNN_OK;
    if (model->n_outputs > 0)
        status = extend(model, layer);
    else if (model->layer_count == 1)
        status = wire_by_first(model, layer);
    if (status != CNN_OK) forget_last(model);
    return status;
}

cnn_status cnn_model_pop(cnn_model *model) {
    CNN_TRY(cnn_model_expect_idle(model, "pop"));
    if (!model->sequential)
        return cnn_fail(CNN_ERROR_STATE,
                        "pop: only a Sequential model can have layers removed; '%s' is functional",
                        model->layer.name);
    if (model->layer_count == 0) return cnn_fail(CNN_ERROR_STATE, "pop: there is no layer to remove");
    forget_last(model);
    if (model->n_outputs == 0) return CNN_OK;
    end_in(model, cnn_tensor_retain(cnn_call_of(model->outputs[0])->inputs[0]));
    return collect_variables(model);
}

cnn_status cnn_model_add_new(cnn_model *model, const char *class_name, const char *config) {
    cnn_layer *layer;
    CNN_TRY(cnn_layer_new(&layer, class_name, config));
    cnn_status status = cnn_model_add(model, layer);
    cnn_layer_release(layer);
    return status;
}

cnn_status cnn_model_build(cnn_model *model, int rank, const int64_t *shape) {
    if (model->n_outputs > 0) return CNN_OK;
    if (model->layer_count == 0) return cnn_fail(CNN_ERROR_STATE, "build: the model has no layers");
    if (rank < 1) return cnn_fail(CNN_ERROR_SHAPE, "build: expected a shape that begins with the batch axis");
    return wire(model, rank - 1, shape + 1);
}

/* ---- Functional ---------------------------------------------------------------------------------------- */

/* A new call of the model: for each tensor of its wiring, the one that takes its place. */
typedef struct replay {
    const cnn_graph *graph;
    cnn_tensor **made; /* retained */
    bool training;
} replay;

/* Calls a layer with several results; those that the graph has take their places. */
static cnn_status replay_results(replay *r, int position, cnn_tensor *const *inputs, int count) {
    const cnn_call *call = cnn_call_of(r->graph->tensors[position]);
    cnn_tensor *results[CNN_MAX_INPUTS];
    CNN_TRY(call->inference ? cnn_layer_call_inference(results, call->layer, inputs, count)
                            : cnn_layer_call_all(results, call->layer, inputs, count, r->training));
    for (int i = position; i < r->graph->count; i++) {
        const cnn_tensor *old = r->graph->tensors[i];
        if (cnn_call_of(old) == call && !r->made[i])
            r->made[i] = cnn_tensor_retain(results[cnn_call_output(old)]);
    }
    for (int i = 0; i < call->n_outputs; i++) cnn_tensor_release(results[i]);
    return CNN_OK;
}

/* Calls the layer, or applies the op, that made a tensor of the wiring once more. */
static cnn_status replay_tensor(replay *r, int position) {
    const cnn_tensor *old = r->graph->tensors[position];
    const cnn_call *call = cnn_call_of(old);
    cnn_tensor *inputs[CNN_MAX_INPUTS], *const *sources;
    int count = cnn_graph_sources(&sources, old, CNN_EDGES_LAYERS);
    for (int i = 0; i < count; i++) {
        int at = cnn_graph_find(r->graph, sources[i]);
        inputs[i] = at < 0 ? sources[i] : r->made[at];
    }
    if (call && (call->n_outputs > 1 || call->inference)) return replay_results(r, position, inputs, count);
    if (call) return cnn_layer_call(&r->made[position], call->layer, inputs, count, r->training);
    bool before = cnn_ops_as_inference(false);
    cnn_ops_as_inference(before || old->node->inference);
    cnn_status status =
        cnn_op_apply(&r->made[position], old->node->op, old->node->attributes, inputs, count, r->training);
    cnn_ops_as_inference(before);
    return status;
}

static cnn_status replay_graph(replay *r, const cnn_model *model, cnn_tensor *const *inputs) {
    for (int i = 0; i < model->n_inputs; i++) {
        cnn_tensor **place = &r->made[cnn_graph_find(r->graph, model->inputs[i])];
        if (!*place) *place = cnn_tensor_retain(inputs[i]);
    }
    for (int i = 0; i < r->graph->count; i++)
        if (!r->made[i]) CNN_TRY(replay_tensor(r, i));
    return CNN_OK;
}

static cnn_status call_functional(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                                  bool training) {
    const cnn_model *model = (cnn_model *)layer;
    if (n_inputs != model->n_inputs)
        return cnn_fail(CNN_ERROR_ARGUMENT, "expected %d inputs, got %d", model->n_inputs, n_inputs);
    cnn_graph graph = {0};
    cnn_status status =
        cnn_graph_walk(&graph, CNN_EDGES_LAYERS, model->inputs, n_inputs, model->outputs, model->n_outputs);
    replay r = {.graph = &graph, .training = training};
    r.made = cnn_calloc((size_t)graph.count * sizeof *r.made);
    if (status == CNN_OK && !r.made) status = cnn_fail_memory((size_t)graph.count * sizeof *r.made);
    if (status == CNN_OK) status = replay_graph(&r, model, inputs);
    for (int i = 0; status == CNN_OK && i < model->n_outputs; i++)
        out[i] = cnn_tensor_retain(r.made[cnn_graph_find(&graph, model->outputs[i])]);
    for (int i = 0; r.made && i < graph.count; i++) cnn_tensor_release(r.made[i]);
    cnn_free(r.made);
    cnn_graph_free(&graph);
    return status;
}

static int functional_output_count(const cnn_layer *layer) {
    return ((const cnn_model *)layer)->n_outputs;
}

const cnn_layer_class cnn_functional_class = {
    .class = CNN_CLASS("layer", "Functional", "Model model", cnn_model, model_params),
    .min_inputs = 1,
    .max_inputs = 64,
    .call = call_functional,
    .output_count = functional_output_count,
    .close = close_model,
    .set_trainable = set_layers_trainable};

static cnn_status add_once(cnn_model *model, cnn_layer *layer) {
    for (int i = 0; i < model->layer_count; i++) {
        if (model->layers[i] == layer) return CNN_OK;
        if (strcmp(model->layers[i]->name, layer->name) == 0)
            return cnn_fail(CNN_ERROR_ARGUMENT, "Model: two layers are named '%s'; names must differ",
                            layer->name);
    }
    return append_layer(model, layer);
}

/* The layers on the way from the inputs to the outputs, in Keras's order. An input that a layer made stands for itself:
 * what is before it does not belong to the model. */
static cnn_status collect_layers(cnn_model *model) {
    cnn_graph graph = {0};
    cnn_status status = cnn_graph_walk(&graph, CNN_EDGES_LAYERS, model->inputs, model->n_inputs,
                                       model->outputs, model->n_outputs);
    for (int i = 0; status == CNN_OK && i < graph.count; i++) {
        const cnn_call *call = cnn_call_of(graph.tensors[i]);
        if (call && (i >= model->n_inputs || call->n_inputs == 0)) status = add_once(model, call->layer);
    }
    if (status == CNN_OK)
        status = cnn_graph_sort_layers(&graph, model->n_inputs, model->outputs, model->n_outputs,
                                       model->layers, model->layer_count);
    cnn_graph_free(&graph);
    return status;
}

static cnn_status check_symbolic(const char *what, cnn_tensor *const *tensors, int count) {
    if (count < 1 || count > CNN_MAX_INPUTS)
        return cnn_fail(CNN_ERROR_ARGUMENT, "Model: expected 1 to %d %s, got %d", CNN_MAX_INPUTS, what,
                        count);
    for (int i = 0; i < count; i++) {
        if (tensors[i]->data)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "Model: %s must be symbolic tensors, made by cnn.Input or by calling layers",
                            what);
        char shape[CNN_SHAPE_TEXT];
        if (tensors[i]->rank < 1 || tensors[i]->shape[0] >= 0)
            return cnn_fail(CNN_ERROR_SHAPE,
                            "Model: %s must have the batch as their first axis, got shape %s", what,
                            cnn_shape_text(shape, sizeof shape, tensors[i]->rank, tensors[i]->shape));
    }
    return CNN_OK;
}

static cnn_status wire_functional(cnn_model *model, cnn_tensor *const *inputs, int n_inputs,
                                  cnn_tensor *const *outputs, int n_outputs) {
    CNN_TRY(store(&model->inputs, &model->n_inputs, inputs, n_inputs));
    CNN_TRY(store(&model->outputs, &model->n_outputs, outputs, n_outputs));
    CNN_TRY(collect_layers(model));
    model->layer.built = true;
    return collect_variables(model);
}

cnn_status cnn_functional_new(cnn_model **out, const char *name, cnn_tensor *const *inputs, int n_inputs,
                              cnn_tensor *const *outputs, int n_outputs) {
    CNN_TRY(check_symbolic("inputs", inputs, n_inputs));
    CNN_TRY(check_symbolic("outputs", outputs, n_outputs));
    cnn_model *model = NULL;
    CNN_TRY(new_model(&model, &cnn_functional_class, name));
    cnn_status status = wire_functional(model, inputs, n_inputs, outputs, n_outputs);
    if (status != CNN_OK)
        cnn_model_release(model);
    else
        *out = model;
    return status;
}
