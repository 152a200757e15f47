/* Activations, by name or as a layer of their own, as layers take them. */
#ifndef CNN_LAYERS_ACTIVATION_H
#define CNN_LAYERS_ACTIVATION_H

#include "base/config.h"
#include "ops/op.h"

/* An op of one input with its attributes; op NULL is linear. Plain bytes. */
typedef struct cnn_activation {
    const cnn_op *op;
    char attributes[64];
} cnn_activation;

/* The argument, kept in the member activation_spec. */
#define CNN_ACTIVATION_PARAM(type_, fallback_)                                                               \
    CNN_PARAM_NAMED(JSON, type_, activation_spec, "activation", fallback_, .spec = &cnn_activation_spec,     \
                    .help =                                                                                  \
                        "as the layer Activation has them: 'relu', a function or a layer; nil is linear")
extern const cnn_param_spec cnn_activation_spec;

/* spec: NULL or null, a name ("relu"), or {"class_name", "config"} of one with arguments or of a layer that is an
 * activation, the layer Activation among them. */
cnn_status cnn_activation_read(cnn_activation *activation, const cJSON *spec);

/* The layers that are activations: the op of a spec that names one of them; else *found is false. */
cnn_status cnn_activation_from_layer(cnn_activation *activation, bool *found, const cJSON *spec);
/* {"class_name": "LeakyReLU", "config": …} for an op that Keras has as a layer; NULL if it has none or memory is out. */
cJSON *cnn_activation_layer_json(const cnn_activation *activation, cnn_keras keras);

/* Applies it to x, which is consumed whether or not it succeeds. */
cnn_status cnn_activation_apply(cnn_tensor **out, const cnn_activation *activation, cnn_tensor *x);

#endif
