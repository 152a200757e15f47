/* Pooling: the largest or the mean of each window, or of a whole picture. */
#include "layers/layer.h"
#include "base/status.h"
#include "ops/pool.h"

#include <limits.h>

typedef struct pooling {
    cnn_layer layer;
    int pool_size[2], strides[2];
    int padding, data_format;
    bool keepdims;
} pooling;

static const cnn_param window_params[] = {
    CNN_PARAM(PAIR, pooling, pool_size, "2", .low = 1, .help = "rows and columns of the window"),
    CNN_PARAM(PAIR, pooling, strides, "null", .nullable = true, .low = 1,
              .help = "step of the window; nil: pool_size"),
    CNN_PARAM(CHOICE, pooling, padding, "\"valid\"", .choices = "valid same",
              .help = "'valid': windows within the picture; 'same': also those that overhang it"),
    CNN_PARAM(CHOICE, pooling, data_format, "\"channels_last\"", .choices = "channels_last", .nullable = true,
              .help = "only 'channels_last'"),
    CNN_LAYER_PARAMS,
    {0}};

static const cnn_param global_params[] = {
    CNN_PARAM(CHOICE, pooling, data_format, "\"channels_last\"", .choices = "channels_last", .nullable = true,
              .help = "only 'channels_last'"),
    CNN_PARAM(BOOL, pooling, keepdims, "false", .help = "keep height and width as axes of size 1"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status pool(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    const cnn_op *op = cnn_layer_op(layer);
    (void)n_inputs;
    pooling *self = (pooling *)layer;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    /* Keras: strides that are not given are the window's size, and are saved so. */
    for (int i = 0; i < 2; i++)
        if (self->strides[i] == INT_MIN) self->strides[i] = self->pool_size[i];
    cnn_pool2d attributes = {.class = &op->class,
                             .pool_size = {self->pool_size[0], self->pool_size[1]},
                             .strides = {self->strides[0], self->strides[1]},
                             .padding = self->padding};
    return cnn_op_apply(out, op, &attributes, inputs, 1, training);
}

static cnn_status pool_globally(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                                bool training) {
    const cnn_op *op = cnn_layer_op(layer);
    (void)n_inputs;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    cnn_global_pool2d attributes = {.class = &op->class, .keepdims = ((pooling *)layer)->keepdims};
    return cnn_op_apply(out, op, &attributes, inputs, 1, training);
}

extern const cnn_layer_class cnn_layer_max_pooling2d, cnn_layer_average_pooling2d,
    cnn_layer_global_max_pooling2d, cnn_layer_global_average_pooling2d;

const cnn_layer_class cnn_layer_max_pooling2d = {
    .class = CNN_CLASS("layer", "MaxPooling2D", "MaxPool2D", pooling, window_params,
                       "The largest of each window: x [N,H,W,C] to [N,H',W',C]."),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool,
    .op = &cnn_op_max_pool2d};

const cnn_layer_class cnn_layer_average_pooling2d = {
    .class = CNN_CLASS("layer", "AveragePooling2D", "AvgPool2D", pooling, window_params,
                       "The mean of each window, padding not counted: x [N,H,W,C] to [N,H',W',C]."),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool,
    .op = &cnn_op_avg_pool2d};

const cnn_layer_class cnn_layer_global_max_pooling2d = {
    .class = CNN_CLASS("layer", "GlobalMaxPooling2D", "GlobalMaxPool2D", pooling, global_params,
                       "The largest of each channel: x [N,H,W,C] to [N,C]."),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool_globally,
    .op = &cnn_op_global_max_pool2d};

const cnn_layer_class cnn_layer_global_average_pooling2d = {
    .class = CNN_CLASS("layer", "GlobalAveragePooling2D", "GlobalAvgPool2D", pooling, global_params,
                       "The mean of each channel: x [N,H,W,C] to [N,C]."),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool_globally,
    .op = &cnn_op_global_avg_pool2d};
