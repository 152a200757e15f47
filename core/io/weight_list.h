/* What reading and writing weights and optimizers' states share: lists of weights, and of the names they have in files. */
#ifndef CNN_IO_WEIGHT_LIST_H
#define CNN_IO_WEIGHT_LIST_H

#include "io/h5.h"
#include "model/model.h"

/* The weights of a layer, or of a model all that its layers have, each with the layer it belongs to. */
typedef struct cnn_weight {
    const cnn_layer *layer; /* whose own it is: never a model */
    cnn_variable *variable;
} cnn_weight;

/* Zeroed, it is empty. Everything in it is borrowed. */
typedef struct cnn_weight_list {
    cnn_weight *items;
    int count, capacity;
} cnn_weight_list;

/* Adds the layer's weights in the order of the layers, one that is shared where it comes first. */
cnn_status cnn_weight_list_add(cnn_weight_list *list, const cnn_layer *layer);
void cnn_weight_list_free(cnn_weight_list *list);

/* Moves those to the front of which `first` is true, and keeps the order otherwise. */
typedef bool cnn_weight_test(const cnn_variable *variable);
cnn_status cnn_weight_list_sort(cnn_weight_list *list, cnn_weight_test *first);
bool cnn_weight_is_trained(const cnn_variable *variable);   /* now: layers may be frozen */
bool cnn_weight_is_trainable(const cnn_variable *variable); /* by itself */

/* Whether the layer has any weights. */
bool cnn_has_weights(const cnn_layer *layer);

/* BEFORE "LAYER/VARIABLE" AFTER, and, where that is among the names already, a number behind: the names of a list differ,
 * as those of layers in different models within need not. To be freed with cnn_free. */
cnn_status cnn_weight_name(char **out, char *const *names, int count, const cnn_weight *weight,
                           const char *before, const char *after);
void cnn_names_free(char **names, int count);

/* The strings of a list attribute, borrowed; none where it is not there, or is of numbers, as an empty one is written.
 * None of them is NULL. An error if there are more than files of Keras have. */
cnn_status cnn_listed_names(char *const **names, int *count, const cnn_h5_node *node, const char *attribute);

#endif
