/* Models as trees of names, layers and wiring, in the words of Keras 2 (HDF5 files; Keras 3 still reads them) or of
 * Keras 3 (.keras archives).
 *
 * The two differ in how a call is told: [["conv2d", 0, 0, {}]], or {"args": [tensor], "kwargs": {}} with tensors that
 * tell shape and type too; in what surrounds a layer's config; and in how the calls of a model within a model are
 * counted. Such a model has been called once when it was made, and that call comes first: always in Keras 2; in Keras 3
 * only of a Functional, and only where outputs are told. */
#include "model/config.h"
#include "model/graph.h"
#include "base/status.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

typedef struct writer {
    const cnn_model *model;
    cnn_graph graph;
    cnn_keras keras;
} writer;

/* Adds item, which it takes over, to a list or under a name; false when memory is out. */
static bool add(cJSON *parent, const char *name, cJSON *item) {
    if (parent && item &&
        (name ? cJSON_AddItemToObject(parent, name, item) : cJSON_AddItemToArray(parent, item)))
        return true;
    cJSON_Delete(item);
    return false;
}

/* The tree if it was made as it should be. */
static cJSON *whole(cJSON *tree, bool fine) {
    if (tree && fine) return tree;
    cJSON_Delete(tree);
    return NULL;
}

/* ---- tensors --------------------------------------------------------------------------------------------- */

static cJSON *shape_json(const cnn_tensor *tensor) {
    cJSON *shape = cJSON_CreateArray();
    bool fine = true;
    for (int i = 0; fine && i < tensor->rank; i++) {
        bool unknown = i == 0 || tensor->shape[i] < 0;
        fine = add(shape, NULL, unknown ? cJSON_CreateNull() : cJSON_CreateNumber((double)tensor->shape[i]));
    }
    return whole(shape, fine);
}

/* ["conv2d", 0, 0]: a tensor by its layer's name, that layer's call and the position among the call's results. */
static cJSON *reference(const writer *w, const cnn_tensor *tensor, bool of_output) {
    const cnn_layer *layer = cnn_call_of(tensor)->layer;
    bool functional = layer->class == &cnn_functional_class.class;
    bool called_before = w->keras == CNN_KERAS_3 ? functional && of_output : cnn_layer_is_model(layer);
    cJSON *list = cJSON_CreateArray();
    return whole(list, add(list, NULL, cJSON_CreateString(layer->name)) &&
                           add(list, NULL,
                               cJSON_CreateNumber(cnn_graph_call_index(&w->graph, tensor) + called_before)) &&
                           add(list, NULL, cJSON_CreateNumber(cnn_call_output(tensor))));
}

static cJSON *references(const writer *w, cnn_tensor *const *tensors, int count) {
    if (w->keras == CNN_KERAS_3 && count == 1) return reference(w, tensors[0], true);
    cJSON *list = cJSON_CreateArray();
    bool fine = true;
    for (int i = 0; fine && i < count; i++) fine = add(list, NULL, reference(w, tensors[i], true));
    return whole(list, fine);
}

/* Keras 3's tensor. */
static cJSON *tensor_object(const writer *w, const cnn_tensor *tensor) {
    cJSON *object = cJSON_CreateObject(), *config = cJSON_CreateObject();
    bool fine = add(config, "shape", shape_json(tensor)) &&
                add(config, "dtype", cJSON_CreateString(cnn_dtype_name(tensor->dtype))) &&
                add(config, "keras_history", reference(w, tensor, false));
    config = whole(config, fine);
    fine = add(object, "class_name", cJSON_CreateString("__keras_tensor__"));
    return whole(object, add(object, "config", config) && fine); /* which takes the config in any case */
}

/* ---- calls ----------------------------------------------------------------------------------------------- */

static cJSON *keyword_arguments(const cnn_call *call) {
    cJSON *arguments = cJSON_CreateObject();
    return whole(arguments, !call->inference || add(arguments, "training", cJSON_CreateFalse()));
}

static bool is_ours(const cnn_layer *layer) {
    for (int i = 0; cnn_layer_classes[i]; i++)
        if (cnn_layer_classes[i] == layer->class) return true;
    return false;
}

/* Layers that join tensors are called on a list, be it of one. */
static bool takes_list(const cnn_call *call) {
    return call->n_inputs > 1 ||
           (is_ours(call->layer) && ((const cnn_layer_class *)call->layer->class)->max_inputs > 1);
}

/* [["conv2d", 0, 0, {}], …] */
static cJSON *call_list(const writer *w, const cnn_call *call) {
    cJSON *list = cJSON_CreateArray();
    bool fine = true;
    for (int i = 0; fine && i < call->n_inputs; i++) {
        cJSON *input = reference(w, call->inputs[i], false);
        fine = add(input, NULL, keyword_arguments(call));
        fine &= add(list, NULL, input);
    }
    return whole(list, fine);
}

/* {"args": [tensor], "kwargs": {}}, or with a list of tensors in place of one. */
static cJSON *call_object(const writer *w, const cnn_call *call) {
    cJSON *object = cJSON_CreateObject(), *arguments = cJSON_CreateArray();
    cJSON *list = takes_list(call) ? cJSON_CreateArray() : arguments;
    bool fine = true;
    for (int i = 0; fine && i < call->n_inputs; i++)
        fine = add(list, NULL, tensor_object(w, call->inputs[i]));
    if (list != arguments) fine &= add(arguments, NULL, list);
    fine &= add(object, "args", arguments);
    return whole(object, fine && add(object, "kwargs", keyword_arguments(call)));
}

/* The calls of the layer, in their order: the first from position on, or -1. */
static int find_call(const writer *w, const cnn_layer *layer, int position) {
    for (int i = position; i < w->graph.count; i++) {
        const cnn_call *call = cnn_call_of(w->graph.tensors[i]);
        if (call && call->layer == layer && call->n_inputs > 0 && cnn_graph_starts_call(&w->graph, i))
            return i;
    }
    return -1;
}

static cJSON *inbound_nodes(const writer *w, const cnn_layer *layer) {
    cJSON *nodes = cJSON_CreateArray();
    bool fine = true;
    for (int i = find_call(w, layer, 0); fine && i >= 0; i = find_call(w, layer, i + 1)) {
        const cnn_call *call = cnn_call_of(w->graph.tensors[i]);
        fine = add(nodes, NULL, w->keras == CNN_KERAS_3 ? call_object(w, call) : call_list(w, call));
    }
    return whole(nodes, fine);
}

/* ---- layers ---------------------------------------------------------------------------------------------- */

/* The shape, or shapes, for which Keras 3 makes a layer's weights before it reads them; null of a Functional, which
 * needs none. NULL too where there is nothing to be made. */
static cnn_status build_config(cJSON **out, const writer *w, const cnn_layer *layer) {
    const cnn_layer_class *class = (const cnn_layer_class *)layer->class;
    int at = find_call(w, layer, 0);
    const cnn_call *call = at < 0 ? NULL : cnn_call_of(w->graph.tensors[at]);
    cJSON *shape = NULL;
    *out = NULL;
    if (layer->class == &cnn_functional_class.class) {
        shape = cJSON_CreateNull();
    } else if (layer->class == &cnn_sequential_class.class) {
        const cnn_model *model = (const cnn_model *)layer;
        if (model->n_inputs == 0) return CNN_OK;
        shape = shape_json(model->inputs[0]);
    } else if (!call || (!class->build && !takes_list(call))) {
        return CNN_OK;
    } else if (takes_list(call)) {
        bool fine = (shape = cJSON_CreateArray());
        for (int i = 0; fine && i < call->n_inputs; i++) fine = add(shape, NULL, shape_json(call->inputs[i]));
        shape = whole(shape, fine);
    } else {
        shape = shape_json(call->inputs[0]);
    }
    cJSON *config = cJSON_CreateObject();
    *out = whole(config, add(config, "input_shape", shape));
    return *out ? CNN_OK : cnn_fail_memory(256);
}

/* Of Keras's own classes, what its functions import them from; others go by their registered name. */
static bool add_origin(cJSON *spec, const cnn_layer *layer) {
    bool functional = layer->class == &cnn_functional_class.class;
    bool public = is_ours(layer) || layer->class == &cnn_sequential_class.class;
    const char *module = cnn_layer_is_model(layer) ? "keras" : "keras.layers";
    if (functional) module = "keras.src.models.functional";
    return add(spec, "module", public || functional ? cJSON_CreateString(module) : cJSON_CreateNull()) &&
           add(spec, "registered_name", public ? cJSON_CreateNull() : cJSON_CreateString(layer->class->name));
}

/* A layer of the model that w writes, or that model itself. */
static cnn_status layer_spec(cJSON **out, const writer *w, const cnn_layer *layer) {
    cJSON *config = NULL, *build = NULL;
    if (cnn_layer_is_model(layer))
        CNN_TRY(cnn_model_config_json(&config, (const cnn_model *)layer, w->keras));
    else
        CNN_TRY(cnn_layer_keras_config(&config, layer, w->keras));
    cJSON *spec = cJSON_CreateObject();
    bool fine = spec && (w->keras != CNN_KERAS_3 || add_origin(spec, layer)) &&
                add(spec, "class_name", cJSON_CreateString(layer->class->name));
    fine &= add(spec, "config", config);
    cnn_status status = fine ? CNN_OK : cnn_fail_memory(256);
    if (status == CNN_OK && w->keras == CNN_KERAS_3) status = build_config(&build, w, layer);
    if (build && !add(spec, "build_config", build)) status = cnn_fail_memory(256);
    *out = whole(spec, status == CNN_OK);
    return status;
}

static cnn_status add_layer(cJSON *layers, const writer *w, const cnn_layer *layer) {
    cJSON *entry;
    CNN_TRY(layer_spec(&entry, w, layer));
    bool fine = true;
    if (!w->model->sequential)
        fine = add(entry, "name", cJSON_CreateString(layer->name)) &&
               add(entry, "inbound_nodes", inbound_nodes(w, layer));
    fine &= add(layers, NULL, entry);
    return fine ? CNN_OK : cnn_fail_memory(256);
}

/* A Sequential begins with its input, once that is known, which is no layer of it here. */
static cnn_status add_input(cJSON *layers, const writer *w) {
    const cnn_model *model = w->model;
    const cnn_class *class;
    char name[CNN_NAME_TEXT] = "input_layer";
    CNN_TRY(cnn_class_find(&class, cnn_layer_classes, "InputLayer"));
    if (model->n_inputs == 0) return CNN_OK;
    if (w->keras == CNN_KERAS_2) cnn_model_input_name(name, sizeof name, model, 0);
    cJSON *config = cJSON_CreateObject();
    bool fine = add(config, "name", cJSON_CreateString(name)) &&
                add(config, "dtype", cJSON_CreateString(cnn_dtype_name(model->inputs[0]->dtype))) &&
                add(config, "batch_shape", shape_json(model->inputs[0]));
    cnn_layer *layer = NULL;
    cnn_status status = fine ? cnn_layer_create(&layer, class, config) : cnn_fail_memory(256);
    cJSON_Delete(config);
    CNN_TRY(status);
    status = add_layer(layers, w, layer);
    cnn_layer_release(layer);
    return status;
}

/* ---- models ---------------------------------------------------------------------------------------------- */

/* What is around the layers. */
static bool add_frame(cJSON *config, const writer *w) {
    const cnn_model *model = w->model;
    const cnn_layer *layer = &model->layer;
    if (!add(config, "name", cJSON_CreateString(layer->name))) return false;
    if (w->keras == CNN_KERAS_3) {
        if (!add(config, "trainable", cJSON_CreateBool(layer->trainable))) return false;
        if (model->sequential && !add(config, "dtype", cnn_policy_spec.write(layer->dtype, w->keras)))
            return false;
        if (model->sequential && model->n_inputs > 0)
            return add(config, "build_input_shape", shape_json(model->inputs[0]));
    }
    if (model->sequential) return true;
    return add(config, "input_layers", references(w, model->inputs, model->n_inputs)) &&
           add(config, "output_layers", references(w, model->outputs, model->n_outputs));
}

/* Ops applied to tensors outside a layer have no config, nor have layers before a model's input. */
static cnn_status expect_layers(const writer *w) {
    const cnn_model *model = w->model;
    for (int i = 0; i < w->graph.count; i++) {
        const cnn_call *call = cnn_call_of(w->graph.tensors[i]);
        if (i < model->n_inputs ? model->sequential || (call && call->n_inputs == 0) : call != NULL) continue;
        if (call)
            return cnn_fail(
                CNN_ERROR_STATE,
                "get_config: an input of model '%s' is the result of layer '%s', which is not in the "
                "model; a config can only tell of inputs made by cnn.Input",
                model->layer.name, call->layer->name);
        const cnn_op *op = w->graph.tensors[i]->node->op;
        return cnn_fail(CNN_ERROR_STATE,
                        "get_config: '%s' was applied to a tensor outside a layer, which a config "
                        "cannot tell; put it into a layer",
                        op ? op->class.name : "input");
    }
    return CNN_OK;
}

static cnn_status write_config(cJSON **out, const writer *w) {
    CNN_TRY(expect_layers(w));
    cJSON *config = cJSON_CreateObject(), *layers = cJSON_CreateArray();
    bool fine = add(config, "layers", layers) && add_frame(config, w);
    cnn_status status = fine ? CNN_OK : cnn_fail_memory(256);
    if (status == CNN_OK && w->model->sequential) status = add_input(layers, w);
    for (int i = 0; status == CNN_OK && i < w->model->layer_count; i++)
        status = add_layer(layers, w, w->model->layers[i]);
    config = whole(config, status == CNN_OK);
    if (config) *out = config;
    return status;
}

cnn_status cnn_model_config_json(cJSON **out, const cnn_model *model, cnn_keras keras) {
    writer w = {.model = model, .keras = keras};
    cnn_status status = cnn_graph_walk(&w.graph, CNN_EDGES_LAYERS, model->inputs, model->n_inputs,
                                       model->outputs, model->n_outputs);
    if (status == CNN_OK) status = write_config(out, &w);
    cnn_graph_free(&w.graph);
    return status;
}

cnn_status cnn_model_spec_json(cJSON **out, const cnn_model *model, cnn_keras keras) {
    writer w = {.model = model, .keras = keras};
    return layer_spec(out, &w, &model->layer);
}

cnn_status cnn_model_to_json(char **out, const cnn_model *model) {
    cJSON *spec;
    CNN_TRY(cnn_model_spec_json(&spec, model, CNN_KERAS_3));
    char *text = cnn_json_print(spec);
    if (!text) return cnn_fail_memory(256);
    *out = text;
    return CNN_OK;
}
