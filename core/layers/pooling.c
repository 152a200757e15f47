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
              .help = "channels come last, nothing else"),
    CNN_LAYER_PARAMS,
    {0}};

static const cnn_param global_params[] = {
    CNN_PARAM(CHOICE, pooling, data_format, "\"channels_last\"", .choices = "channels_last", .nullable = true,
              .help = "channels come last, nothing else"),
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

/*** Max pooling: the largest cell of each window, channel by channel.
What was found stays, where exactly matters less, and pictures shrink: with the usual 2×2 windows to half of each
side. There are no weights. x [N,H,W,C] gives [N,H',W',C], with H' = floor((H - rows) / stride) + 1 for padding
"valid", ceil(H / stride) for "same".
@class cnn.layers.MaxPooling2D
@raise an input that is not [N,H,W,C]; a window that is larger than the picture
@usage
x = cnn.arange{16, dtype = "float32"}:reshape{1, 4, 4, 1}
x:reshape{4, 4}
--> float32 (4, 4)
--> [[ 0.  1.  2.  3.]
-->  [ 4.  5.  6.  7.]
-->  [ 8.  9. 10. 11.]
-->  [12. 13. 14. 15.]]
layers.MaxPooling2D{2}(x):reshape{2, 2}
--> float32 (2, 2)
--> [[ 5.  7.]
-->  [13. 15.]]
layers.MaxPooling2D{2, strides = 1}(x):shape()       --> {1, 3, 3, 1}
layers.MaxPooling2D{3, padding = "same"}(x):shape()  --> {1, 2, 2, 1}
*/
const cnn_layer_class cnn_layer_max_pooling2d = {
    .class = CNN_CLASS("layer", "MaxPooling2D", "MaxPool2D", pooling, window_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool,
    .op = &cnn_op_max_pool2d};

/*** Average pooling: the mean of each window, channel by channel.

x [N,H,W,C] gives [N,H',W',C], sized as by MaxPooling2D. Cells of a window that lie outside of the picture, with
padding "same", are not counted. There are no weights.
@class cnn.layers.AveragePooling2D
@raise an input that is not [N,H,W,C]; a window that is larger than the picture
@usage
x = cnn.arange{16, dtype = "float32"}:reshape{1, 4, 4, 1}
layers.AveragePooling2D{2}(x):reshape{2, 2}
--> float32 (2, 2)
--> [[ 2.5  4.5]
-->  [10.5 12.5]]
layers.AveragePooling2D{3, padding = "same"}(cnn.ones{1, 4, 4, 1}):reshape{2, 2}
--> float32 (2, 2)
--> [[1. 1.]
-->  [1. 1.]]
*/
const cnn_layer_class cnn_layer_average_pooling2d = {
    .class = CNN_CLASS("layer", "AveragePooling2D", "AvgPool2D", pooling, window_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool,
    .op = &cnn_op_avg_pool2d};

/*** The largest cell of each channel over the whole picture: x [N,H,W,C] to [N,C], or with keepdims to [N,1,1,C].
It tells whether a feature is there at all, wherever it may be.
@class cnn.layers.GlobalMaxPooling2D
@raise an input that is not [N,H,W,C]
@usage
x = cnn.arange{8, dtype = "float32"}:reshape{1, 2, 2, 2}
layers.GlobalMaxPooling2D{}(x)
--> float32 (1, 2)
--> [[6. 7.]]
layers.GlobalMaxPooling2D{keepdims = true}(x):shape()  --> {1, 1, 1, 2}
*/
const cnn_layer_class cnn_layer_global_max_pooling2d = {
    .class = CNN_CLASS("layer", "GlobalMaxPooling2D", "GlobalMaxPool2D", pooling, global_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool_globally,
    .op = &cnn_op_global_max_pool2d};

/*** The mean of each channel over the whole picture: x [N,H,W,C] to [N,C], or with keepdims to [N,1,1,C].
It stands where older networks have Flatten and a large Dense (Lin et al. 2013, Network in Network): no weights, and
pictures of any size.
@class cnn.layers.GlobalAveragePooling2D
@raise an input that is not [N,H,W,C]
@usage
x = cnn.arange{8, dtype = "float32"}:reshape{1, 2, 2, 2}
layers.GlobalAveragePooling2D{}(x)
--> float32 (1, 2)
--> [[3. 4.]]
layers.GlobalAveragePooling2D{}(cnn.zeros{1, 7, 7, 512}):shape()  --> {1, 512}
*/
const cnn_layer_class cnn_layer_global_average_pooling2d = {
    .class = CNN_CLASS("layer", "GlobalAveragePooling2D", "GlobalAvgPool2D", pooling, global_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool_globally,
    .op = &cnn_op_global_avg_pool2d};
