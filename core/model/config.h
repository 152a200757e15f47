/* Models as JSON. */
#ifndef CNN_MODEL_CONFIG_H
#define CNN_MODEL_CONFIG_H

#include "model/model.h"

/* {"name", "layers": [{"class_name", "config", …}], …}: with "inbound_nodes", "input_layers" and "output_layers" for a
 * functional model. */
cnn_status cnn_model_config_json(cJSON **out, const cnn_model *model);

#endif
