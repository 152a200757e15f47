/* Input: the placeholder through which data enters a functional model. */
#include "layers/layer.h"
#include "base/status.h"

#include <string.h>

typedef struct input {
    cnn_layer layer;
    cnn_shape shape;       /* of a sample */
    cnn_shape batch_shape; /* with the batch axis: as Keras 3 saves it */
    bool sparse, ragged;
    int batch_size;
} input;

static const cnn_param params[] = {
    CNN_PARAM(SHAPE, input, shape, "null", .low = 1, .high = 1e12, .derived = true,
              .help = "sizes of one sample, without the batch"),
    CNN_PARAM(INT, input, batch_size, "null", .nullable = true, .derived = true,
              .help = "accepted; any batch size works"),
    CNN_PARAM(SHAPE, input, batch_shape, "null", .help = "the same with the batch size, or nil, before it"),
    CNN_PARAM(BOOL, input, sparse, "false", .help = "only false"),
    CNN_PARAM(BOOL, input, ragged, "false", .help = "only false"),
    CNN_LAYER_PARAMS,
    {0}};

/* However the shape was given, it ends in input_shape and batch_shape. */
static cnn_status init(cnn_layer *layer) {
    input *self = (input *)layer;
    if (self->sparse || self->ragged)
        return cnn_fail(CNN_ERROR_ARGUMENT, "Input: sparse and ragged inputs are not supported");
    cnn_shape *sample = &layer->input_shape;
    if (self->shape.rank >= 0) *sample = self->shape;
    if (sample->rank < 0 && self->batch_shape.rank > 0) {
        sample->rank = self->batch_shape.rank - 1;
        memcpy(sample->sizes, self->batch_shape.sizes + 1, (size_t)sample->rank * sizeof(int64_t));
    }
    if (sample->rank < 0) return cnn_fail(CNN_ERROR_ARGUMENT, "Input: missing argument 'shape'");
    if (sample->rank == CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "Input: at most %d sizes", CNN_MAX_RANK - 1);
    self->batch_shape.rank = sample->rank + 1;
    self->batch_shape.sizes[0] = -1;
    memcpy(self->batch_shape.sizes + 1, sample->sizes, (size_t)sample->rank * sizeof(int64_t));
    return CNN_OK;
}

static cnn_status call(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    (void)layer, (void)n_inputs, (void)training;
    *out = cnn_tensor_retain(inputs[0]);
    return CNN_OK;
}

extern const cnn_layer_class cnn_layer_input;
const cnn_layer_class cnn_layer_input = {
    .class = CNN_CLASS(
        "layer", "InputLayer", "Input input", input, params,
        "The placeholder through which data enters a model: Input{28, 28, 1} or Input{shape = {28, 28, 1}}."),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = call};

/* The symbolic tensor that an input layer stands for. */
cnn_status cnn_input_from_layer(cnn_tensor **out, cnn_layer *layer) {
    cnn_dtype dtype = CNN_FLOAT32;
    if (cJSON_IsString(layer->dtype)) CNN_TRY(cnn_dtype_from_name(&dtype, layer->dtype->valuestring));
    cnn_tensor *t;
    CNN_TRY(cnn_symbolic_input(&t, layer->input_shape.rank, layer->input_shape.sizes, dtype));
    layer->built = true;
    cnn_status status = cnn_call_record(t, layer, NULL, 0);
    if (status != CNN_OK)
        cnn_tensor_release(t);
    else
        *out = t;
    return status;
}

cnn_status cnn_input(cnn_tensor **out, int rank, const int64_t *shape, cnn_dtype dtype, const char *name) {
    cJSON *config = cJSON_CreateObject(), *sizes = cJSON_CreateArray();
    for (int i = 0; sizes && i < rank; i++) cJSON_AddItemToArray(sizes, cJSON_CreateNumber((double)shape[i]));
    bool fine = config && cJSON_AddItemToObject(config, "shape", sizes) &&
                cJSON_AddStringToObject(config, "dtype", cnn_dtype_name(dtype)) &&
                (!name || cJSON_AddStringToObject(config, "name", name));
    cnn_layer *layer = NULL;
    cnn_status status = fine ? cnn_layer_create(&layer, &cnn_layer_input.class, config) : cnn_fail_memory(64);
    cJSON_Delete(config);
    if (status == CNN_OK) status = cnn_input_from_layer(out, layer);
    cnn_layer_release(layer);
    return status;
}
