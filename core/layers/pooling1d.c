/* Pooling along one axis: that of pictures of one row. */
#include "layers/layer.h"
#include "base/status.h"
#include "ops/pool.h"
#include "ops/shape.h"

typedef struct pooling1d {
    cnn_layer layer;
    cnn_shape pool_size, strides; /* lists of one number, as Keras writes them */
    int padding, data_format;
    bool keepdims;
} pooling1d;

static const cnn_param window_params[] = {
    CNN_PARAM(SHAPE, pooling1d, pool_size, "2", .help = "length of the window"),
    CNN_PARAM(SHAPE, pooling1d, strides, "null", .help = "step of the window; nil: pool_size"),
    CNN_PARAM(CHOICE, pooling1d, padding, "\"valid\"", .choices = "valid same",
              .help = "'valid': whole windows; 'same': also those that overhang the ends"),
    CNN_PARAM(CHOICE, pooling1d, data_format, "\"channels_last\"", .choices = "channels_last",
              .nullable = true, .help = "channels come last, nothing else"),
    CNN_LAYER_PARAMS,
    {0}};

static const cnn_param global_params[] = {
    CNN_PARAM(CHOICE, pooling1d, data_format, "\"channels_last\"", .choices = "channels_last",
              .nullable = true, .help = "channels come last, nothing else"),
    CNN_PARAM(BOOL, pooling1d, keepdims, "false", .help = "keep the length as an axis of size 1"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init(cnn_layer *layer) {
    pooling1d *self = (pooling1d *)layer;
    if (self->strides.rank < 0) self->strides = self->pool_size;
    const cnn_shape *lists[] = {&self->pool_size, &self->strides};
    for (int i = 0; i < 2; i++)
        if (lists[i]->rank != 1 || lists[i]->sizes[0] < 1 || lists[i]->sizes[0] > 1 << 30)
            return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' must be one number of at least 1",
                            layer->class->name, i == 0 ? "pool_size" : "strides");
    return CNN_OK;
}

static cnn_status reshape(cnn_tensor **out, cnn_tensor *x, int rank, const int64_t *sample) {
    cnn_reshape_op a = {.class = &cnn_op_reshape.class, .keep_batch = true, .target_shape = {.rank = rank}};
    for (int i = 0; i < rank; i++) a.target_shape.sizes[i] = sample[i];
    return cnn_op_apply(out, &cnn_op_reshape, &a, &x, 1, false);
}

/* The pooled pictures [N,1,L,C] → [N,1,L',C] or [N,C]. */
static cnn_status pool_row(cnn_layer *layer, cnn_tensor **out, cnn_tensor *x, const cnn_op *op,
                           const void *attributes) {
    CNN_TRY(cnn_layer_expect_rank(layer, x, 3, "[N,L,C]"));
    cnn_tensor *row;
    CNN_TRY(reshape(&row, x, 3, (const int64_t[]){1, x->shape[1], x->shape[2]}));
    cnn_status status = cnn_op_apply(out, op, attributes, &row, 1, false);
    cnn_tensor_release(row);
    return status;
}

static cnn_status pool(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training) {
    const cnn_op *op = cnn_layer_op(layer);
    (void)n_inputs, (void)training;
    const pooling1d *self = (pooling1d *)layer;
    cnn_pool2d a = {.class = &op->class,
                    .pool_size = {1, (int)self->pool_size.sizes[0]},
                    .strides = {1, (int)self->strides.sizes[0]},
                    .padding = self->padding};
    cnn_tensor *row;
    CNN_TRY(pool_row(layer, &row, inputs[0], op, &a));
    cnn_status status = reshape(out, row, 2, (const int64_t[]){row->shape[2], row->shape[3]});
    cnn_tensor_release(row);
    return status;
}

static cnn_status pool_globally(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                                bool training) {
    const cnn_op *op = cnn_layer_op(layer);
    (void)n_inputs, (void)training;
    cnn_global_pool2d a = {.class = &op->class};
    if (!((pooling1d *)layer)->keepdims) return pool_row(layer, out, inputs[0], op, &a);
    cnn_tensor *row;
    CNN_TRY(pool_row(layer, &row, inputs[0], op, &a));
    cnn_status status = reshape(out, row, 2, (const int64_t[]){1, row->shape[1]});
    cnn_tensor_release(row);
    return status;
}

extern const cnn_layer_class cnn_layer_max_pooling1d, cnn_layer_average_pooling1d,
    cnn_layer_global_max_pooling1d, cnn_layer_global_average_pooling1d;

/*** Max pooling of sequences: the largest of each window, channel by channel.

x [N,L,C] gives [N,L',C], with L' = floor((L - pool_size) / stride) + 1 for padding "valid", ceil(L / stride) for
"same".
@class cnn.layers.MaxPooling1D
@raise an input that is not [N,L,C]; a window that is longer than the sequence
@usage
x = cnn.tensor{1, 5, 2, 3, 9, 4}:reshape{1, 6, 1}
layers.MaxPooling1D{2}(x):reshape{3}
--> float32 (3,)
--> [5. 3. 9.]
layers.MaxPooling1D{3, strides = 1}(x):reshape{4}
--> float32 (4,)
--> [5. 5. 9. 9.]
*/
const cnn_layer_class cnn_layer_max_pooling1d = {
    .class = CNN_CLASS("layer", "MaxPooling1D", "MaxPool1D", pooling1d, window_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = pool,
    .op = &cnn_op_max_pool2d};

/*** Average pooling of sequences: the mean of each window, channel by channel.

x [N,L,C] gives [N,L',C], sized as by MaxPooling1D; what lies beyond the ends, with padding "same", is not counted.
@class cnn.layers.AveragePooling1D
@raise an input that is not [N,L,C]; a window that is longer than the sequence
@usage
x = cnn.tensor{1, 5, 2, 3, 9}:reshape{1, 5, 1}
layers.AveragePooling1D{2}(x):reshape{2}
--> float32 (2,)
--> [3.  2.5]
layers.AveragePooling1D{2, padding = "same"}(x):reshape{3}
--> float32 (3,)
--> [3.  2.5 9. ]
*/
const cnn_layer_class cnn_layer_average_pooling1d = {
    .class = CNN_CLASS("layer", "AveragePooling1D", "AvgPool1D", pooling1d, window_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init,
    .call = pool,
    .op = &cnn_op_avg_pool2d};

/*** The largest of each channel over the whole sequence: x [N,L,C] to [N,C], or with keepdims to [N,1,C].
@class cnn.layers.GlobalMaxPooling1D
@raise an input that is not [N,L,C]
@usage
layers.GlobalMaxPooling1D{}(cnn.tensor{{{1, 8}, {5, 2}, {3, 4}}})
--> float32 (1, 2)
--> [[5. 8.]]
*/
const cnn_layer_class cnn_layer_global_max_pooling1d = {
    .class = CNN_CLASS("layer", "GlobalMaxPooling1D", "GlobalMaxPool1D", pooling1d, global_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool_globally,
    .op = &cnn_op_global_max_pool2d};

/*** The mean of each channel over the whole sequence: x [N,L,C] to [N,C], or with keepdims to [N,1,C].
@class cnn.layers.GlobalAveragePooling1D
@raise an input that is not [N,L,C]
@usage
layers.GlobalAveragePooling1D{}(cnn.tensor{{{1, 8}, {5, 2}, {3, 5}}})
--> float32 (1, 2)
--> [[3. 5.]]
*/
const cnn_layer_class cnn_layer_global_average_pooling1d = {
    .class = CNN_CLASS("layer", "GlobalAveragePooling1D", "GlobalAvgPool1D", pooling1d, global_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = pool_globally,
    .op = &cnn_op_global_avg_pool2d};
