/* get_config(): a model as a tree of names, layers and wiring, in the form that Keras 2 saves and Keras 3 still reads. */
#include "model/config.h"
#include "model/graph.h"
#include "base/status.h"

#include <string.h>

/* Adds item, which it takes over, to a list or under a name; false when memory is out. */
static bool add(cJSON *parent, const char *name, cJSON *item) {
    if (item && (name ? cJSON_AddItemToObject(parent, name, item) : cJSON_AddItemToArray(parent, item)))
        return true;
    cJSON_Delete(item);
    return false;
}

/* ["conv2d", 0, 0]: a tensor by its layer's name, that layer's call and the position among the call's results. */
static cJSON *tensor_reference(const cnn_graph *g, const cnn_tensor *tensor, bool with_arguments) {
    cJSON *list = cJSON_CreateArray();
    const cnn_call *call = cnn_call_of(tensor);
    bool fine = list && add(list, NULL, cJSON_CreateString(call->layer->name)) &&
                add(list, NULL, cJSON_CreateNumber(cnn_graph_call_index(g, tensor))) &&
                add(list, NULL, cJSON_CreateNumber(cnn_call_output(tensor))) &&
                (!with_arguments || add(list, NULL, cJSON_CreateObject()));
    if (fine) return list;
    cJSON_Delete(list);
    return NULL;
}

static cJSON *references(const cnn_graph *g, cnn_tensor *const *tensors, int count, bool with_arguments) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; list && i < count; i++) {
        if (add(list, NULL, tensor_reference(g, tensors[i], with_arguments))) continue;
        cJSON_Delete(list);
        list = NULL;
    }
    return list;
}

/* For each call of the layer, what it was called on. */
static cJSON *inbound_nodes(const cnn_graph *g, const cnn_layer *layer) {
    cJSON *nodes = cJSON_CreateArray();
    for (int i = 0; nodes && i < g->count; i++) {
        const cnn_call *call = cnn_call_of(g->tensors[i]);
        if (!call || call->layer != layer || call->n_inputs == 0 || !cnn_graph_starts_call(g, i)) continue;
        if (add(nodes, NULL, references(g, call->inputs, call->n_inputs, true))) continue;
        cJSON_Delete(nodes);
        nodes = NULL;
    }
    return nodes;
}

static cJSON *layer_entry(const cnn_layer *layer, const cnn_graph *g) {
    cJSON *entry = cJSON_CreateObject(), *config = NULL;
    cnn_status status = CNN_OK;
    if (cnn_layer_is_model(layer))
        status = cnn_model_config_json(&config, (const cnn_model *)layer);
    else
        config = cnn_layer_config_json(layer);
    bool fine = entry && status == CNN_OK &&
                add(entry, "class_name", cJSON_CreateString(layer->class->name)) &&
                add(entry, "config", config);
    if (fine && g)
        fine = add(entry, "name", cJSON_CreateString(layer->name)) &&
               add(entry, "inbound_nodes", inbound_nodes(g, layer));
    if (fine) return entry;
    cJSON_Delete(entry);
    return NULL;
}

/* A Sequential begins with its input, once that is known. */
static bool add_input_entry(cJSON *layers, const cnn_model *model) {
    if (model->n_inputs == 0) return true;
    const cnn_tensor *input = model->inputs[0];
    cJSON *entry = cJSON_CreateObject(), *config = cJSON_CreateObject(), *shape = cJSON_CreateArray();
    bool fine = entry && config && shape;
    for (int i = 0; fine && i < input->rank; i++)
        fine = add(shape, NULL, i == 0 ? cJSON_CreateNull() : cJSON_CreateNumber((double)input->shape[i]));
    char name[160];
    snprintf(name, sizeof name, "%.140s_input",
             model->layer_count > 0 ? model->layers[0]->name : model->layer.name);
    fine = fine && add(config, "dtype", cJSON_CreateString(cnn_dtype_name(input->dtype))) &&
           add(config, "sparse", cJSON_CreateFalse()) && add(config, "ragged", cJSON_CreateFalse()) &&
           add(config, "name", cJSON_CreateString(name));
    if (!fine || !add(config, "batch_input_shape", shape)) {
        cJSON_Delete(shape);
        cJSON_Delete(config);
        cJSON_Delete(entry);
        return false;
    }
    fine = add(entry, "class_name", cJSON_CreateString("InputLayer"));
    if (!add(entry, "config", config) || !fine) {
        cJSON_Delete(entry);
        return false;
    }
    return add(layers, NULL, entry);
}

static bool fill(cJSON *config, const cnn_model *model, const cnn_graph *g) {
    cJSON *layers = cJSON_CreateArray();
    if (!layers || !add(config, "name", cJSON_CreateString(model->layer.name)) ||
        !add(config, "layers", layers))
        return false;
    if (model->sequential && !add_input_entry(layers, model)) return false;
    for (int i = 0; i < model->layer_count; i++)
        if (!add(layers, NULL, layer_entry(model->layers[i], model->sequential ? NULL : g))) return false;
    if (model->sequential) return true;
    return add(config, "input_layers", references(g, model->inputs, model->n_inputs, false)) &&
           add(config, "output_layers", references(g, model->outputs, model->n_outputs, false));
}

/* Ops applied to tensors outside a layer have no config. */
static cnn_status expect_layers(const cnn_model *model, const cnn_graph *g) {
    for (int i = model->n_inputs; i < g->count; i++)
        if (!cnn_call_of(g->tensors[i]))
            return cnn_fail(CNN_ERROR_STATE,
                            "get_config: '%s' was applied to a tensor outside a layer, which a config "
                            "cannot tell; put it into a layer",
                            g->tensors[i]->node->op->class.name);
    return CNN_OK;
}

cnn_status cnn_model_config_json(cJSON **out, const cnn_model *model) {
    cnn_graph graph = {0};
    cnn_status status = cnn_graph_walk(&graph, CNN_EDGES_LAYERS, model->inputs, model->n_inputs,
                                       model->outputs, model->n_outputs);
    if (status == CNN_OK) status = expect_layers(model, &graph);
    cJSON *config = cJSON_CreateObject();
    if (status == CNN_OK && (!config || !fill(config, model, &graph))) status = cnn_fail_memory(256);
    cnn_graph_free(&graph);
    if (status != CNN_OK)
        cJSON_Delete(config);
    else
        *out = config;
    return status;
}
