/* Models as JSON and back. */
#ifndef CNN_MODEL_CONFIG_H
#define CNN_MODEL_CONFIG_H

#include "model/model.h"

/* {"name", "layers": [{"class_name", "config", …}], …}: with "inbound_nodes", "input_layers" and "output_layers" for a
 * functional model. */
cnn_status cnn_model_config_json(cJSON **out, const cnn_model *model, cnn_keras keras);

/* The model with its class: {"class_name": "Sequential", "config": …}; in Keras 3's form with "module",
 * "registered_name" and "build_config" too. */
cnn_status cnn_model_spec_json(cJSON **out, const cnn_model *model, cnn_keras keras);

/* A model from such a spec, of Keras 2.2 to 3, built where the spec says for which shapes. Layers that cannot be built
 * are all named in one error, each with the reason; CNN_ERROR_FORMAT if the spec is none. Refused are more than 8192
 * layers, 65536 calls of layers, 64 models within each other, and more than so many bytes of weights: as many as the
 * file has, or CNN_MOST_WEIGHTS where there are none. options may be NULL. */
#define CNN_MOST_WEIGHTS ((int64_t)1 << 31)
cnn_status cnn_model_from_spec(cnn_model **out, const cJSON *spec, const cnn_load_options *options,
                               int64_t most_weights);

/* The seeds of the random ops in a built model's wiring, as a list in its order: with them, and the trainer's, a model
 * that was read back goes on with the same random numbers. */
cnn_status cnn_model_get_seeds(cJSON **out, const cnn_model *model);
/* CNN_ERROR_ARGUMENT if the list, which may be NULL, is not of as many. */
cnn_status cnn_model_set_seeds(cnn_model *model, const cJSON *list);

#endif
