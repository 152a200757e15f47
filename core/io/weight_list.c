#include "io/weight_list.h"
#include "model/graph.h"
#include "base/memory.h"
#include "base/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool holds(const cnn_weight_list *list, const cnn_variable *variable) {
    for (int i = 0; i < list->count; i++)
        if (list->items[i].variable == variable) return true;
    return false;
}

cnn_status cnn_weight_list_add(cnn_weight_list *list, const cnn_layer *layer) {
    if (cnn_layer_is_model(layer)) {
        const cnn_model *model = (const cnn_model *)layer;
        for (int i = 0; i < model->layer_count; i++) CNN_TRY(cnn_weight_list_add(list, model->layers[i]));
        return CNN_OK;
    }
    for (int i = 0; i < layer->variable_count; i++) {
        if (holds(list, layer->variables[i])) continue;
        CNN_TRY(cnn_list_grow((void **)&list->items, list->count, &list->capacity, sizeof *list->items));
        list->items[list->count++] = (cnn_weight){layer, layer->variables[i]};
    }
    return CNN_OK;
}

void cnn_weight_list_free(cnn_weight_list *list) {
    cnn_free(list->items);
    *list = (cnn_weight_list){0};
}

bool cnn_weight_is_trained(const cnn_variable *variable) {
    return variable->value->trainable;
}

bool cnn_weight_is_trainable(const cnn_variable *variable) {
    return variable->trainable;
}

cnn_status cnn_weight_list_sort(cnn_weight_list *list, cnn_weight_test *first) {
    size_t bytes = (size_t)list->count * sizeof *list->items;
    cnn_weight *sorted = cnn_malloc(bytes);
    if (!sorted) return cnn_fail_memory(bytes);
    int count = 0;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < list->count; i++)
            if (first(list->items[i].variable) == (round == 0)) sorted[count++] = list->items[i];
    cnn_free(list->items);
    list->items = sorted;
    list->capacity = list->count;
    return CNN_OK;
}

bool cnn_has_weights(const cnn_layer *layer) {
    if (!cnn_layer_is_model(layer)) return layer->variable_count > 0;
    const cnn_model *model = (const cnn_model *)layer;
    for (int i = 0; i < model->layer_count; i++)
        if (cnn_has_weights(model->layers[i])) return true;
    return false;
}

/* ---- names ----------------------------------------------------------------------------------------------- */

static bool among(char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

cnn_status cnn_weight_name(char **out, char *const *names, int count, const cnn_weight *weight,
                           const char *before, const char *after) {
    const char *layer = weight->layer->name, *variable = weight->variable->name;
    size_t room = strlen(before) + strlen(layer) + strlen(variable) + strlen(after) + 16;
    char *name = cnn_malloc(room);
    if (!name) return cnn_fail_memory(room);
    int length = snprintf(name, room, "%s%s/%s%s", before, layer, variable, after);
    for (int number = 1; among(names, count, name); number++)
        snprintf(name + length, room - (size_t)length, "_%d", number);
    *out = name;
    return CNN_OK;
}

void cnn_names_free(char **names, int count) {
    for (int i = 0; names && i < count; i++) cnn_free(names[i]);
    cnn_free(names);
}

enum { MOST_NAMES = 1 << 15 };

cnn_status cnn_listed_names(char *const **names, int *count, const cnn_h5_node *node, const char *attribute) {
    const cnn_h5_value *value = cnn_h5_get(node, attribute);
    *names = NULL;
    *count = 0;
    if (!value || value->type != CNN_H5_STRING || !value->strings) return CNN_OK;
    if (value->count > MOST_NAMES)
        return cnn_fail(CNN_ERROR_FORMAT, "hdf5: '%s' lists %" PRId64 " names; the most is %d", attribute,
                        value->count, MOST_NAMES);
    for (int64_t i = 0; i < value->count; i++)
        if (!value->strings[i])
            return cnn_fail(CNN_ERROR_FORMAT, "hdf5: '%s' lists something that is no name", attribute);
    *names = value->strings;
    *count = (int)value->count;
    return CNN_OK;
}
