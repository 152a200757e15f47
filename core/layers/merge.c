/* Layers that join several tensors into one, element by element (Add, Subtract, Multiply, Average, Maximum, Minimum)
 * or side by side (Concatenate). */
#include "layers/layer.h"
#include "base/status.h"
#include "base/text.h"
#include "ops/activation.h"
#include "ops/arith.h"
#include "ops/shape.h"

typedef struct merge {
    cnn_layer layer;
    int axis; /* Concatenate's */
} merge;

static const cnn_param params[] = {CNN_LAYER_PARAMS, {0}};

/* ---- element by element -------------------------------------------------------------------------------- */

/* As in Keras, an input of fewer axes gets axes of size 1 after the batch's. The result is a new reference. */
static cnn_status widen(cnn_tensor **out, cnn_tensor *x, int rank) {
    if (x->rank == rank || x->rank == 0) {
        *out = cnn_tensor_retain(x);
        return CNN_OK;
    }
    cnn_reshape_op attributes = {
        .class = &cnn_op_reshape.class, .keep_batch = true, .target_shape = {.rank = rank - 1}};
    for (int i = 1; i < rank; i++) {
        int from = i - (rank - x->rank);
        attributes.target_shape.sizes[i - 1] = from < 1 ? 1 : x->shape[from];
    }
    return cnn_op_apply(out, &cnn_op_reshape, &attributes, &x, 1, false);
}

/* out = ((x1 op x2) op x3) …; with one input, that one. */
static cnn_status fold(cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs, const cnn_op *op) {
    int rank = 0;
    for (int i = 0; i < n_inputs; i++)
        if (inputs[i]->rank > rank) rank = inputs[i]->rank;
    cnn_tensor *result;
    CNN_TRY(widen(&result, inputs[0], rank));
    for (int i = 1; i < n_inputs; i++) {
        cnn_tensor *pair[2] = {result, NULL}, *next = NULL;
        cnn_status status = widen(&pair[1], inputs[i], rank);
        if (status == CNN_OK) status = cnn_op_apply(&next, op, NULL, pair, 2, false);
        cnn_tensor_release(pair[1]);
        cnn_tensor_release(result);
        CNN_TRY(status);
        result = next;
    }
    *out = result;
    return CNN_OK;
}

static cnn_status call_fold(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                            bool training) {
    (void)training;
    return fold(out, inputs, n, cnn_layer_op(layer));
}

/* In one op where shapes are equal, else the sum divided. */
static cnn_status call_average(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                               bool training) {
    (void)layer, (void)training;
    bool same = true;
    for (int i = 1; i < n; i++) same = same && cnn_same_shape(inputs[i], inputs[0]);
    if (same) return cnn_op_apply(out, &cnn_op_average, NULL, inputs, n, false);
    cnn_tensor *sum;
    CNN_TRY(fold(&sum, inputs, n, &cnn_op_add));
    cnn_rescaling attributes = {&cnn_op_rescaling.class, 1.0 / n, 0};
    cnn_status status = cnn_op_apply(out, &cnn_op_rescaling, &attributes, &sum, 1, false);
    cnn_tensor_release(sum);
    return status;
}

extern const cnn_layer_class cnn_layer_add, cnn_layer_subtract, cnn_layer_multiply, cnn_layer_average,
    cnn_layer_maximum, cnn_layer_minimum, cnn_layer_concatenate;

/*** The sum of several inputs, as at the end of a residual block (He et al. 2016).
Called with a list of tensors. Sizes of 1 are stretched; an input of fewer axes gets axes of size 1 after the batch's.
@class cnn.layers.Add
@raise shapes that do not go together
@usage
layers.Add{}{cnn.tensor{{1, 2}}, cnn.tensor{{10, 20}}, cnn.tensor{{100, 200}}}
--> float32 (1, 2)
--> [[111. 222.]]
x = cnn.Input{28, 28, 32}
layers.Add{}{x, layers.Conv2D{32, 3, padding = "same"}(x)}  --> symbolic tensor float32 (None, 28, 28, 32)
*/
const cnn_layer_class cnn_layer_add = {.class = CNN_CLASS("layer", "Add", NULL, merge, params),
                                       .min_inputs = 1,
                                       .max_inputs = CNN_MAX_INPUTS,
                                       .call = call_fold,
                                       .op = &cnn_op_add};

/*** The first of two inputs minus the second, with sizes of 1 stretched.
@class cnn.layers.Subtract
@raise another number of inputs than two; shapes that do not go together
@usage
layers.Subtract{}{cnn.tensor{{10, 20}}, cnn.tensor{{1, 2}}}
--> float32 (1, 2)
--> [[ 9. 18.]]
*/
const cnn_layer_class cnn_layer_subtract = {.class = CNN_CLASS("layer", "Subtract", NULL, merge, params),
                                            .min_inputs = 2,
                                            .max_inputs = 2,
                                            .call = call_fold,
                                            .op = &cnn_op_subtract};

/*** The product of several inputs, element by element, with sizes of 1 stretched: a gate or a weight for each channel.
@class cnn.layers.Multiply
@raise shapes that do not go together
@usage
x, gate = cnn.ones{1, 2, 2, 3}, cnn.tensor{{0, 0.5, 1}}
layers.Multiply{}{x, gate:reshape{1, 1, 1, 3}}:shape()  --> {1, 2, 2, 3}
layers.Multiply{}{cnn.tensor{{1, 2, 3}}, gate}
--> float32 (1, 3)
--> [[0. 1. 3.]]
*/
const cnn_layer_class cnn_layer_multiply = {.class = CNN_CLASS("layer", "Multiply", NULL, merge, params),
                                            .min_inputs = 1,
                                            .max_inputs = CNN_MAX_INPUTS,
                                            .call = call_fold,
                                            .op = &cnn_op_multiply};

/*** The mean of several inputs, element by element, with sizes of 1 stretched.
@class cnn.layers.Average
@raise shapes that do not go together
@usage
layers.Average{}{cnn.tensor{{1, 2}}, cnn.tensor{{3, 6}}}
--> float32 (1, 2)
--> [[2. 4.]]
*/
const cnn_layer_class cnn_layer_average = {.class = CNN_CLASS("layer", "Average", NULL, merge, params),
                                           .min_inputs = 1,
                                           .max_inputs = CNN_MAX_INPUTS,
                                           .call = call_average};

/*** The largest of several inputs, element by element, with sizes of 1 stretched.
The gradient goes to the one that was largest, of equal ones to the first.
@class cnn.layers.Maximum
@raise shapes that do not go together
@usage
layers.Maximum{}{cnn.tensor{{1, 6}}, cnn.tensor{{3, 2}}}
--> float32 (1, 2)
--> [[3. 6.]]
*/
const cnn_layer_class cnn_layer_maximum = {.class = CNN_CLASS("layer", "Maximum", NULL, merge, params),
                                           .min_inputs = 1,
                                           .max_inputs = CNN_MAX_INPUTS,
                                           .call = call_fold,
                                           .op = &cnn_op_maximum};

/*** The smallest of several inputs, element by element, with sizes of 1 stretched.
The gradient goes to the one that was smallest, of equal ones to the first.
@class cnn.layers.Minimum
@raise shapes that do not go together
@usage
layers.Minimum{}{cnn.tensor{{1, 6}}, cnn.tensor{{3, 2}}}
--> float32 (1, 2)
--> [[1. 2.]]
*/
const cnn_layer_class cnn_layer_minimum = {.class = CNN_CLASS("layer", "Minimum", NULL, merge, params),
                                           .min_inputs = 1,
                                           .max_inputs = CNN_MAX_INPUTS,
                                           .call = call_fold,
                                           .op = &cnn_op_minimum};

/* ---- Concatenate --------------------------------------------------------------------------------------- */

static const cnn_param concatenate_params[] = {
    CNN_PARAM(INT, merge, axis, "-1", .help = "along which inputs follow one another, the batch's being 0"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_concatenate(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                   bool training) {
    cnn_concatenate attributes = {.class = &cnn_op_concatenate.class, .axis = ((merge *)layer)->axis};
    return cnn_op_apply(out, &cnn_op_concatenate, &attributes, inputs, n, training);
}

/*** Several inputs one after the other along an axis, the last one unless told otherwise: channels side by side.
Their other sizes must be equal. The axis is counted from 0, the batch's, or from the end.
@class cnn.layers.Concatenate
@raise inputs that differ in another size
@usage
a, b = cnn.Input{28, 28, 32}, cnn.Input{28, 28, 64}
layers.Concatenate{}{a, b}  --> symbolic tensor float32 (None, 28, 28, 96)
layers.Concatenate{axis = 1}{cnn.tensor{{1, 2}}, cnn.tensor{{3}}}
--> float32 (1, 3)
--> [[1. 2. 3.]]
layers.Concatenate{}{a, cnn.Input{14, 14, 32}}
--> error: concatenate_2: shapes (None, 28, 28, 32) and (None, 14, 14, 32) (input 2) differ beside axis 3
*/
const cnn_layer_class cnn_layer_concatenate = {
    .class = CNN_CLASS("layer", "Concatenate", NULL, merge, concatenate_params),
    .min_inputs = 1,
    .max_inputs = CNN_MAX_INPUTS,
    .call = call_concatenate};
