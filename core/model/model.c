#include "model/model.h"
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

cnn_status cnn_model_collect_variables(cnn_model *model) {
    cnn_layer *self = &model->layer;
    int most = 0;
    for (int i = 0; i < model->layer_count; i++) most += model->layers[i]->variable_count;
    cnn_variable **list = cnn_malloc((size_t)most * sizeof *list);
    if (!list) return cnn_fail_memory((size_t)most * sizeof *list);
    for (int i = 0; i < self->variable_count; i++) cnn_variable_release(self->variables[i]);
    cnn_free(self->variables);
    self->variables = list;
    self->variable_count = 0;
    for (int i = 0; i < model->layer_count; i++) {
        const cnn_layer *layer = model->layers[i];
        for (int j = 0; j < layer->variable_count; j++) {
            if (holds_variable(self, layer->variables[j])) continue;
            layer->variables[j]->refs++;
            list[self->variable_count++] = layer->variables[j];
        }
    }
    return CNN_OK;
}

int64_t cnn_model_count_params(const cnn_model *model) {
    int64_t count = 0;
    for (int i = 0; i < model->layer.variable_count; i++) count += model->layer.variables[i]->value->size;
    return count;
}

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

/* Sends x (consumed) through layers from `first` on. */
static cnn_status chain(cnn_tensor **out, const cnn_model *model, int first, cnn_tensor *x, bool training) {
    for (int i = first; i < model->layer_count; i++) {
        cnn_tensor *y;
        cnn_status status = cnn_layer_call(&y, model->layers[i], &x, 1, training);
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
    if (status == CNN_OK) status = cnn_model_collect_variables(model);
    if (status != CNN_OK)
        drop_wiring(model);
    else
        model->layer.built = true;
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

const cnn_layer_class cnn_sequential_class = {.class = CNN_CLASS("layer", "Sequential", NULL, cnn_model,
                                                                 model_params,
                                                                 "A model of layers one after the other."),
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

/* The layer joins the wiring that is there. */
static cnn_status extend(cnn_model *model, cnn_layer *layer) {
    cnn_tensor *y;
    CNN_TRY(cnn_layer_call(&y, layer, model->outputs, 1, false));
    cnn_tensor_release(model->outputs[0]);
    model->outputs[0] = y;
    model->version++;
    return cnn_model_collect_variables(model);
}

/* Keras's Sequential does not count its input among its layers. */
static cnn_status add_input(cnn_model *model, const cnn_layer *layer) {
    if (model->layer_count > 0 || model->n_outputs > 0)
        return cnn_fail(CNN_ERROR_STATE, "add: an Input can only come first");
    return wire(model, layer->input_shape.rank, layer->input_shape.sizes);
}

cnn_status cnn_model_add(cnn_model *model, cnn_layer *layer) {
    CNN_TRY(cnn_model_expect_idle(model, "add"));
    if (!model->sequential)
        return cnn_fail(CNN_ERROR_STATE,
                        "add: only a Sequential model can have layers added; '%s' is functional",
                        model->layer.name);
    if (strcmp(layer->class->name, "InputLayer") == 0) return add_input(model, layer);
    for (int i = 0; i < model->layer_count; i++)
        if (strcmp(model->layers[i]->name, layer->name) == 0)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "add: the model already has a layer named '%s'; names must differ", layer->name);
    CNN_TRY(append_layer(model, layer));
    cnn_status status = CNN_OK;
    if (model->n_outputs > 0)
        status = extend(model, layer);
    else if (model->layer_count == 1 && layer->input_shape.rank >= 0)
        status = wire(model, layer->input_shape.rank, layer->input_shape.sizes);
    if (status != CNN_OK) forget_last(model);
    return status;
}

cnn_status cnn_model_pop(cnn_model *model) {
    CNN_TRY(cnn_model_expect_idle(model, "pop"));
    if (!model->sequential || model->layer_count == 0)
        return cnn_fail(CNN_ERROR_STATE, "pop: there is no layer to remove");
    forget_last(model);
    if (model->n_outputs == 0) return CNN_OK;
    cnn_tensor *input = cnn_tensor_retain(model->inputs[0]);
    drop_wiring(model);
    cnn_status status = wire_from(model, input);
    cnn_tensor_release(input);
    return status;
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

/* Symbolic tensors of a finished wiring and what stands for them in a new call. */
typedef struct replay {
    const cnn_model *model;
    cnn_tensor *const *inputs;
    bool training;
    int count, capacity;
    struct {
        const cnn_tensor *old;
        cnn_tensor *new;
    } * known;
} replay;

static cnn_tensor *known(const replay *r, const cnn_tensor *old) {
    for (int i = 0; i < r->model->n_inputs; i++)
        if (r->model->inputs[i] == old) return r->inputs[i];
    for (int i = 0; i < r->count; i++)
        if (r->known[i].old == old) return r->known[i].new;
    return NULL;
}

static cnn_status remember(replay *r, const cnn_tensor *old, cnn_tensor *new) {
    if (r->count == r->capacity) {
        int wider = r->capacity ? 2 * r->capacity : 16;
        void *grown = cnn_realloc(r->known, (size_t)wider * sizeof *r->known);
        if (!grown) {
            cnn_tensor_release(new);
            return cnn_fail_memory((size_t)wider * sizeof *r->known);
        }
        r->known = grown;
        r->capacity = wider;
    }
    r->known[r->count].old = old;
    r->known[r->count++].new = new;
    return CNN_OK;
}

/* The new tensor for an old one, borrowed: its layer is called again on what stands for its inputs. */
static cnn_status replay_tensor(replay *r, cnn_tensor *old, cnn_tensor **out) {
    if ((*out = known(r, old))) return CNN_OK;
    const cnn_call *call = cnn_call_of(old);
    if (!call)
        return cnn_fail(CNN_ERROR_STATE, "%s: an output does not depend on its inputs", r->model->layer.name);
    cnn_tensor *inputs[64];
    for (int i = 0; i < call->n_inputs; i++) CNN_TRY(replay_tensor(r, call->inputs[i], &inputs[i]));
    CNN_TRY(cnn_layer_call(out, call->layer, inputs, call->n_inputs, r->training));
    return remember(r, old, *out);
}

static cnn_status call_functional(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                                  bool training) {
    cnn_model *model = (cnn_model *)layer;
    if (n_inputs != model->n_inputs)
        return cnn_fail(CNN_ERROR_ARGUMENT, "expected %d inputs, got %d", model->n_inputs, n_inputs);
    replay r = {.model = model, .inputs = inputs, .training = training};
    cnn_tensor *result;
    cnn_status status = replay_tensor(&r, model->outputs[0], &result);
    if (status == CNN_OK) *out = cnn_tensor_retain(result);
    for (int i = 0; i < r.count; i++) cnn_tensor_release(r.known[i].new);
    cnn_free(r.known);
    return status;
}

const cnn_layer_class cnn_functional_class = {.class = CNN_CLASS("layer", "Functional", "Model model",
                                                                 cnn_model, model_params,
                                                                 "A model wired from inputs to outputs."),
                                              .min_inputs = 1,
                                              .max_inputs = 64,
                                              .call = call_functional,
                                              .close = close_model,
                                              .set_trainable = set_layers_trainable};

static bool holds_layer(const cnn_model *model, const cnn_layer *layer) {
    for (int i = 0; i < model->layer_count; i++)
        if (model->layers[i] == layer) return true;
    return false;
}

/* Adds the layers that make a tensor, those they depend on first. */
static cnn_status collect_layers(cnn_model *model, const cnn_tensor *tensor) {
    const cnn_call *call = cnn_call_of(tensor);
    if (!call || holds_layer(model, call->layer)) return CNN_OK;
    for (int i = 0; i < call->n_inputs; i++) CNN_TRY(collect_layers(model, call->inputs[i]));
    return append_layer(model, call->layer);
}

static cnn_status check_symbolic(const char *what, cnn_tensor *const *tensors, int count) {
    for (int i = 0; i < count; i++)
        if (tensors[i]->data)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "Model: %s must be symbolic tensors, made by cnn.Input or by calling layers",
                            what);
    return count > 0 ? CNN_OK : cnn_fail(CNN_ERROR_ARGUMENT, "Model: there are no %s", what);
}

static cnn_status wire_functional(cnn_model *model, cnn_tensor *const *inputs, int n_inputs,
                                  cnn_tensor *const *outputs, int n_outputs) {
    CNN_TRY(store(&model->inputs, &model->n_inputs, inputs, n_inputs));
    CNN_TRY(store(&model->outputs, &model->n_outputs, outputs, n_outputs));
    for (int i = 0; i < n_inputs; i++) CNN_TRY(collect_layers(model, inputs[i]));
    for (int i = 0; i < n_outputs; i++) CNN_TRY(collect_layers(model, outputs[i]));
    model->layer.built = true;
    return cnn_model_collect_variables(model);
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
