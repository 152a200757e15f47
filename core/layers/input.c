/* Input: the placeholder through which data enters a functional model. */
#include "layers/layer.h"
#include "base/status.h"

#include <string.h>

typedef struct input {
    cnn_layer layer;
    cnn_shape shape;       /* of a sample */
    cnn_shape batch_shape; /* with the batch axis: as Keras 3 saves it */
    int batch_size;
} input;

/* Data of types that there are not here come as the nearest: integers as int32, the others as float32. */
static cnn_status read_dtype(const cJSON *spec, cnn_dtype *dtype) {
    const char *name = cnn_policy_name(spec);
    if (name && (strcmp(name, "uint8") == 0 || strcmp(name, "bool") == 0))
        *dtype = CNN_UINT8;
    else if (name && cnn_choice_find("int8 int16 int32 int64 uint16 uint32 uint64", name) >= 0)
        *dtype = CNN_INT32;
    else if (name &&
             cnn_choice_find("float32 float16 bfloat16 float64 mixed_float16 mixed_bfloat16", name) >= 0)
        *dtype = CNN_FLOAT32;
    else
        return cnn_fail(CNN_ERROR_ARGUMENT, "inputs of type %.60s are not supported",
                        name ? name : "unknown");
    return CNN_OK;
}

static cnn_status check_dtype(const cJSON *spec) {
    cnn_dtype dtype;
    return read_dtype(spec, &dtype);
}

static cJSON *write_dtype(const cJSON *spec, cnn_keras keras) {
    (void)keras;
    return cJSON_CreateString(cnn_policy_name(spec));
}

static const cnn_param_spec dtype_spec = {check_dtype, write_dtype};

static const cnn_param params[] = {
    CNN_PARAM(SHAPE, input, shape, "null", .low = 1, .high = 1e12, .derived = true,
              .help = "sizes of one sample, without the batch"),
    CNN_PARAM(INT, input, batch_size, "null", .nullable = true, .derived = true,
              .help = "accepted; any batch size works"),
    CNN_PARAM(SHAPE, input, batch_shape, "null", .only = CNN_KERAS_3,
              .help = "the same with the batch size, or nil, before it"),
    {.name = "sparse", .type = CNN_PARAM_NOTHING, .fallback = "false", .help = "only false"},
    {.name = "ragged", .type = CNN_PARAM_NOTHING, .fallback = "false", .help = "only false"},
    CNN_LAYER_PARAMS_BUT(.derived = true, dtype_spec, .only = CNN_KERAS_2),
    CNN_IGNORED_PARAM("optional"),
    CNN_UNSUPPORTED_PARAM("type_spec", .derived = true),
    CNN_UNSUPPORTED_PARAM("input_tensor", .derived = true),
    {0}};

/* However the shape was given, it ends in input_shape and batch_shape. */
static cnn_status init(cnn_layer *layer) {
    input *self = (input *)layer;
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
    layer->batch_input_shape = self->batch_shape;
    return CNN_OK;
}

static cnn_status call(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    (void)layer, (void)n_inputs, (void)training;
    *out = cnn_tensor_retain(inputs[0]);
    return CNN_OK;
}

extern const cnn_layer_class cnn_layer_input;
/*** The placeholder through which data enters a model, as a layer.
Its shape is given as `InputLayer{28, 28, 1}` or `InputLayer{shape = {28, 28, 1}}`. At the head of a Sequential it
tells the shape of one sample, so that all weights can be made at once; the argument input_shape of the first layer
does the same. The functional API begins with cnn.Input, which makes such a layer and gives its tensor. The batch's
size is always open.
@class cnn.layers.InputLayer
@raise no shape
@usage
model = cnn.Sequential{layers.InputLayer{28, 28, 1}, layers.Flatten{}, layers.Dense{10}}
model:count_params()  --> 290
*/
const cnn_layer_class cnn_layer_input = {.class =
                                             CNN_CLASS("layer", "InputLayer", "Input input", input, params),
                                         .min_inputs = 1,
                                         .max_inputs = 1,
                                         .init = init,
                                         .call = call};

/* The symbolic tensor that an input layer stands for. */
cnn_status cnn_input_from_layer(cnn_tensor **out, cnn_layer *layer) {
    cnn_dtype dtype = CNN_FLOAT32;
    CNN_TRY(read_dtype(layer->dtype, &dtype));
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
