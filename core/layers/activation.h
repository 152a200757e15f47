/* Activations by name, as layers take them. */
#ifndef CNN_LAYERS_ACTIVATION_H
#define CNN_LAYERS_ACTIVATION_H

#include "ops/op.h"

/* An op of one input with its attributes; op NULL is linear. Plain bytes. */
typedef struct cnn_activation {
    const cnn_op *op;
    char attributes[64];
} cnn_activation;

/* spec: NULL or null, a name ("relu"), or {"class_name", "config"}. */
cnn_status cnn_activation_read(cnn_activation *activation, const cJSON *spec);

/* Applies it to x, which is consumed whether or not it succeeds. */
cnn_status cnn_activation_apply(cnn_tensor **out, const cnn_activation *activation, cnn_tensor *x);

#endif
