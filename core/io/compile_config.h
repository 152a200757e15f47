/* What compile was given, as Keras keeps it in files. */
#ifndef CNN_IO_COMPILE_CONFIG_H
#define CNN_IO_COMPILE_CONFIG_H

#include "model/config.h"
#include "base/text.h"

/* Of a compiled model: training_config of Keras 2's files, or compile_config of Keras 3's. */
cnn_status cnn_compile_config_write(cJSON **out, const cnn_model *model, cnn_keras form);

/* Compiles the model by either. What cannot be taken over leaves it not compiled, and is told in notes. */
cnn_status cnn_compile_config_read(cnn_model *model, const cJSON *config, cnn_text *notes);

#endif
