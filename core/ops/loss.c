/* Losses, as Keras defines them: the loss over the last axis, averaged over all axes but the first.
 *
 * Labels may be of any dtype; a row of them at a time is turned into float32 in scratch. From logits,
 * crossentropy keeps the softmax, which with the labels makes the gradient. */
#include "ops/loss.h"
#include "ops/activation.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { LABELS_PER_TURN = 1024 };

/* Two names for what training does. */
#define REDUCTIONS "sum_over_batch_size mean"

/* "sparse_categorical_crossentropy", for messages. */
enum { NAME = 48 };
static const char *name_of(const void *attributes, char buffer[NAME]) {
    cnn_snake_case(buffer, NAME, ((const cnn_object *)attributes)->class->name);
    return buffer;
}

/* Elements [from, from+count) of the labels as float32, in buffer unless they are so already. */
static const float *labels(const cnn_tensor *y_true, int64_t from, int64_t count, float *buffer) {
    if (y_true->dtype == CNN_FLOAT32) return cnn_f32(y_true) + from;
    char *data = (char *)y_true->data + (size_t)from * cnn_dtype_size(y_true->dtype);
    cnn_tensor in = cnn_tensor_wrap(y_true->dtype, 1, &count, data);
    cnn_tensor out = cnn_tensor_wrap(CNN_FLOAT32, 1, &count, buffer);
    cnn_cast_into(&out, &in);
    return buffer;
}

/* target·(1 - smoothing) + smoothing/classes */
static const float *smoothed(const float *target, int64_t count, double smoothing, int64_t classes,
                             float *buffer) {
    if (smoothing == 0) return target;
    cnn_kernel()->affine((float)(1 - smoothing), (float)(smoothing / (double)classes), target, buffer, count);
    return buffer;
}

static cnn_status shapes_differ(const void *attributes, const cnn_tensor *p, const cnn_tensor *t) {
    char prediction[CNN_SHAPE_TEXT], label[CNN_SHAPE_TEXT], who[NAME];
    return cnn_fail(CNN_ERROR_SHAPE, "%s: labels of shape %s do not fit predictions of shape %s",
                    name_of(attributes, who), cnn_shape_text(label, sizeof label, t->rank, t->shape),
                    cnn_shape_text(prediction, sizeof prediction, p->rank, p->shape));
}

/* Equal, but for sizes of the batch that are not known, over the first `rank` axes. */
static bool same_sizes(const cnn_tensor *a, const cnn_tensor *b, int rank) {
    for (int i = 0; i < rank; i++)
        if (a->shape[i] != b->shape[i] && !(i == 0 && (a->shape[0] < 0 || b->shape[0] < 0))) return false;
    return true;
}

/* The rank without a last axis of size 1 beyond the first. */
static int squeezed(const cnn_tensor *t) {
    return t->rank > 1 && t->shape[t->rank - 1] == 1 ? t->rank - 1 : t->rank;
}

static cnn_status one_loss_a_sample(const void *attributes, const cnn_tensor *p, const cnn_tensor *t,
                                    cnn_op_info *info) {
    if (p->rank < 1 || t->rank < 1) return shapes_differ(attributes, p, t);
    info->rank = 1;
    info->shape[0] = p->shape[0] < 0 ? t->shape[0] : p->shape[0];
    return CNN_OK;
}

/* ---- crossentropy over classes ------------------------------------------------------------------------- */

static bool is_sparse(const cnn_op_call *call) {
    return ((const cnn_object *)call->attributes)->class == &cnn_op_sparse_categorical_crossentropy.class;
}

static cnn_status crossentropy_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                     cnn_op_info *info) {
    (void)n_inputs;
    const cnn_loss *a = attributes;
    const cnn_tensor *p = inputs[0], *t = inputs[1];
    char who[NAME];
    if (p->rank < 2) return shapes_differ(a, p, t);
    CNN_TRY(one_loss_a_sample(a, p, t, info));
    bool sparse = a->class == &cnn_op_sparse_categorical_crossentropy.class;
    int label_rank = t->rank;
    if (sparse && t->rank == p->rank) label_rank = squeezed(t);
    if (label_rank != p->rank - sparse || !same_sizes(p, t, label_rank)) return shapes_differ(a, p, t);
    int64_t classes = p->shape[p->rank - 1];
    if (classes < 1) return cnn_fail(CNN_ERROR_SHAPE, "%s: there are no classes", name_of(a, who));
    if (a->axis != -1 && a->axis != p->rank - 1)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: the classes must be on the last axis, got axis = %d",
                        name_of(a, who), a->axis);
    info->scratch = 2 * CNN_ROUND_UP((size_t)classes, CNN_ALIGN) * sizeof(float);
    if (a->from_logits) info->saved = (size_t)cnn_sample_size(p) * sizeof(float);
    return CNN_OK;
}

/* One row of targets: a position becomes a 1 among zeros. The row belongs to sample `sample` of this call. */
static cnn_status target_row(const float **target, const cnn_op_call *call, int64_t row, int64_t sample,
                             float *buffer) {
    const cnn_loss *a = call->attributes;
    const cnn_tensor *p = call->inputs[0], *t = call->inputs[1];
    int64_t classes = p->shape[p->rank - 1];
    if (!is_sparse(call)) {
        const float *dense = labels(t, row * classes, classes, buffer);
        *target = smoothed(dense, classes, a->label_smoothing, classes, buffer);
        return CNN_OK;
    }
    char who[NAME];
    float value, label = *labels(t, row, 1, &value);
    long long at = (long long)(call->first_sample + sample);
    if (!(label >= 0 && label < (float)classes))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: label %g at sample %lld is not in [0, %lld)",
                        name_of(a, who), (double)label, at, (long long)classes);
    if (label != floorf(label))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: label %g at sample %lld is not a whole number",
                        name_of(a, who), (double)label, at);
    memset(buffer, 0, (size_t)classes * sizeof *buffer);
    buffer[(int64_t)label] = 1;
    *target = buffer;
    return CNN_OK;
}

static cnn_status crossentropy_forward(const cnn_op_call *call) {
    const cnn_loss *a = call->attributes;
    const cnn_tensor *p = call->inputs[0];
    const cnn_kernels *k = cnn_kernel();
    int64_t classes = p->shape[p->rank - 1], rows = cnn_sample_size(p) / classes;
    const float *x = cnn_f32(p);
    float *loss = cnn_f32(call->output), *buffer = call->scratch, *softmax = call->saved;
    for (int64_t n = 0; n < p->shape[0]; n++) {
        double sum = 0;
        for (int64_t r = n * rows; r < (n + 1) * rows; r++) {
            const float *target = NULL;
            CNN_TRY(target_row(&target, call, r, n, buffer));
            float *keep = softmax ? softmax + r * classes : buffer + CNN_ROUND_UP(classes, CNN_ALIGN);
            sum += k->crossentropy(a->from_logits, x + r * classes, target, keep, classes);
        }
        loss[n] = (float)(sum / (double)rows);
    }
    return CNN_OK;
}

static cnn_status crossentropy_backward(const cnn_op_call *call) {
    const cnn_loss *a = call->attributes;
    const cnn_tensor *p = call->inputs[0];
    if (!call->grad_inputs[0]) return CNN_OK;
    int64_t classes = p->shape[p->rank - 1], rows = cnn_sample_size(p) / classes;
    const float *x = a->from_logits ? call->saved : cnn_f32(p), *dy = cnn_f32(call->grad_output);
    float *dx = cnn_f32(call->grad_inputs[0]);
    for (int64_t n = 0; n < p->shape[0]; n++)
        for (int64_t r = n * rows; r < (n + 1) * rows; r++) {
            const float *target = NULL;
            CNN_TRY(target_row(&target, call, r, n, call->scratch));
            cnn_kernel()->crossentropy_grad(a->from_logits, x + r * classes, target, dy[n] / (float)rows,
                                            dx + r * classes, classes);
        }
    return CNN_OK;
}

/* ---- losses element by element ------------------------------------------------------------------------- */

static cnn_status pointwise_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                  cnn_op_info *info) {
    (void)n_inputs;
    const cnn_loss *a = attributes;
    const cnn_tensor *p = inputs[0], *t = inputs[1];
    char who[NAME];
    CNN_TRY(one_loss_a_sample(a, p, t, info));
    /* [N,1] and [N] fit. */
    int rank = p->rank, label_rank = t->rank;
    if (rank > label_rank) rank = squeezed(p);
    if (label_rank > rank) label_rank = squeezed(t);
    if (rank != label_rank || !same_sizes(p, t, rank)) return shapes_differ(a, p, t);
    if (a->class == &cnn_op_binary_crossentropy.class && a->axis != -1 && a->axis != p->rank - 1)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected axis = -1, got %d", name_of(a, who), a->axis);
    info->scratch = LABELS_PER_TURN * sizeof(float);
    return CNN_OK;
}

static cnn_pointwise_loss kind_of(const cnn_loss *a) {
    if (a->class == &cnn_op_binary_crossentropy.class)
        return a->from_logits ? CNN_LOSS_BINARY_LOGITS : CNN_LOSS_BINARY;
    if (a->class == &cnn_op_huber.class) return CNN_LOSS_HUBER;
    return a->class == &cnn_op_mean_absolute_error.class ? CNN_LOSS_ABSOLUTE : CNN_LOSS_SQUARED;
}

/* Elements [from, from+count) of the targets, at most LABELS_PER_TURN. */
static const float *targets(const cnn_op_call *call, int64_t from, int64_t count) {
    const cnn_loss *a = call->attributes;
    const float *plain = labels(call->inputs[1], from, count, call->scratch);
    return smoothed(plain, count, a->label_smoothing, 2, call->scratch);
}

static int64_t turn(int64_t left) {
    return left < LABELS_PER_TURN ? left : LABELS_PER_TURN;
}

static cnn_status pointwise_forward(const cnn_op_call *call) {
    const cnn_loss *a = call->attributes;
    const cnn_tensor *p = call->inputs[0];
    int64_t size = cnn_sample_size(p);
    for (int64_t n = 0; n < p->shape[0]; n++) {
        double sum = 0;
        for (int64_t i = 0; i < size; i += LABELS_PER_TURN) {
            int64_t at = n * size + i, count = turn(size - i);
            sum += cnn_kernel()->loss_sum(kind_of(a), (float)a->delta, cnn_f32(p) + at,
                                          targets(call, at, count), count);
        }
        cnn_f32(call->output)[n] = (float)(sum / (double)size);
    }
    return CNN_OK;
}

static cnn_status pointwise_backward(const cnn_op_call *call) {
    const cnn_loss *a = call->attributes;
    const cnn_tensor *p = call->inputs[0];
    if (!call->grad_inputs[0]) return CNN_OK;
    int64_t size = cnn_sample_size(p);
    for (int64_t n = 0; n < p->shape[0]; n++) {
        float scale = cnn_f32(call->grad_output)[n] / (float)size;
        for (int64_t i = 0; i < size; i += LABELS_PER_TURN) {
            int64_t at = n * size + i, count = turn(size - i);
            cnn_kernel()->loss_grad(kind_of(a), (float)a->delta, cnn_f32(p) + at, targets(call, at, count),
                                    scale, cnn_f32(call->grad_inputs[0]) + at, count);
        }
    }
    return CNN_OK;
}

bool cnn_loss_takes_logits_of(const cnn_op *op, const cnn_loss *loss, const cnn_op *last,
                              const void *attributes, const cnn_op_info *info) {
    if (loss->from_logits) return false;
    if (op == &cnn_op_binary_crossentropy) return last == &cnn_op_sigmoid;
    if (op != &cnn_op_categorical_crossentropy && op != &cnn_op_sparse_categorical_crossentropy) return false;
    if (last != &cnn_op_softmax) return false;
    int axis = ((const cnn_softmax *)attributes)->axis;
    return axis == -1 || axis == info->rank - 1;
}

/* ---- the ops ------------------------------------------------------------------------------------------- */

static const cnn_param categorical_params[] = {
    CNN_PARAM(BOOL, cnn_loss, from_logits, "false", .help = "y_pred is before softmax"),
    CNN_PARAM(FLOAT, cnn_loss, label_smoothing, "0", .high = 1,
              .help = "the share of each target that is spread evenly over the classes"),
    CNN_PARAM(INT, cnn_loss, axis, "-1", .help = "the axis of the classes: the last"),
    CNN_PARAM(CHOICE, cnn_loss, reduction, "\"sum_over_batch_size\"", .choices = REDUCTIONS,
              .help = "the mean over samples, by either name"),
    {0}};

static const cnn_param sparse_params[] = {
    CNN_PARAM(BOOL, cnn_loss, from_logits, "false", .help = "y_pred is before softmax"),
    CNN_PARAM(INT, cnn_loss, axis, "-1", .derived = true, .help = "the axis of the classes: the last"),
    CNN_PARAM(CHOICE, cnn_loss, reduction, "\"sum_over_batch_size\"", .choices = REDUCTIONS,
              .help = "the mean over samples, by either name"),
    {0}};

static const cnn_param binary_params[] = {
    CNN_PARAM(BOOL, cnn_loss, from_logits, "false", .help = "y_pred is before sigmoid"),
    CNN_PARAM(FLOAT, cnn_loss, label_smoothing, "0", .high = 1,
              .help = "moves targets this far towards a half"),
    CNN_PARAM(INT, cnn_loss, axis, "-1", .help = "the axis of the mean: the last"),
    CNN_PARAM(CHOICE, cnn_loss, reduction, "\"sum_over_batch_size\"", .choices = REDUCTIONS,
              .help = "the mean over samples, by either name"),
    {0}};

static const cnn_param error_params[] = {CNN_PARAM(CHOICE, cnn_loss, reduction, "\"sum_over_batch_size\"",
                                                   .choices = REDUCTIONS,
                                                   .help = "the mean over samples, by either name"),
                                         {0}};

static const cnn_param huber_params[] = {
    CNN_PARAM(FLOAT, cnn_loss, delta, "1",
              .help = "the error at which the loss turns from squared to linear"),
    CNN_PARAM(CHOICE, cnn_loss, reduction, "\"sum_over_batch_size\"", .choices = REDUCTIONS,
              .help = "the mean over samples, by either name"),
    {0}};

/*** Cross-entropy of probabilities with one-hot labels: -Σ y_true · log y_pred over the classes.
The loss of a classifier whose last layer is a softmax over several classes. y_true and y_pred are [N,…,classes]; rows
of y_pred are scaled to sum 1 and kept at least 1e-7 from 0 and 1, or with from_logits go through softmax first. A
guess that is right and sure costs 0, an even one log(classes). The result is the mean over the samples.
@class cnn.losses.CategoricalCrossentropy
@raise shapes that differ; classes that are not on the last axis
@usage
loss = cnn.losses.CategoricalCrossentropy{}
sure, even = {{0, 1, 0, 0}}, {{0.25, 0.25, 0.25, 0.25}}
("%.4f, %.4f"):format(loss(sure, sure):item(), loss(sure, even):item())  --> 0.0000, 1.3863
loss({1, 0}, {{0.5, 0.5}})
--> error: categorical_crossentropy: labels of shape (2,) do not fit predictions of shape (1, 2)
*/
const cnn_op cnn_op_categorical_crossentropy = {
    .class = CNN_CLASS("loss", "CategoricalCrossentropy", NULL, cnn_loss, categorical_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .per_sample = true,
    .needs = 1u << 0 | 1u << 1,
    .constant = 1u << 1,
    .infer = crossentropy_infer,
    .forward = crossentropy_forward,
    .backward = crossentropy_backward};

/*** Cross-entropy of probabilities with class numbers: -log y_pred[label].
As CategoricalCrossentropy, but labels are whole numbers from 0: y_true [N,…] (or [N,…,1]), y_pred [N,…,classes].
@class cnn.losses.SparseCategoricalCrossentropy
@raise a label that is no whole number from 0 to classes - 1; shapes that do not fit
@usage
loss = cnn.losses.SparseCategoricalCrossentropy{}
("%.4f"):format(loss({1, 0}, {{0.25, 0.75}, {1, 0}}):item())  --> 0.1438
logits = cnn.losses.SparseCategoricalCrossentropy{from_logits = true}
("%.4f"):format(logits({1}, {{5, 5}}):item())  --> 0.6931
loss({2}, {{0.5, 0.5}})  --> error: sparse_categorical_crossentropy: label 2 at sample 0 is not in [0, 2)
*/
const cnn_op cnn_op_sparse_categorical_crossentropy = {
    .class = CNN_CLASS("loss", "SparseCategoricalCrossentropy", NULL, cnn_loss, sparse_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .per_sample = true,
    .needs = 1u << 0 | 1u << 1,
    .constant = 1u << 1,
    .infer = crossentropy_infer,
    .forward = crossentropy_forward,
    .backward = crossentropy_backward};

/*** Cross-entropy of yes and no, for labels t in [0, 1] and probabilities p.
The mean of -t · log p - (1 - t) · log(1 - p). The loss of a classifier of two classes that ends in one sigmoid, or of
several labels that may all be true at once. y_true and y_pred have the same shape; p is kept at least 1e-7 from 0 and
1, or with from_logits goes through sigmoid first.
@class cnn.losses.BinaryCrossentropy
@raise shapes that differ
@usage
loss = cnn.losses.BinaryCrossentropy{}
("%.4f"):format(loss({1, 0}, {0.5, 0.5}):item())          --> 0.6931
("%.4f"):format(loss({{1}, {0}}, {{0.9}, {0.2}}):item())  --> 0.1643
*/
const cnn_op cnn_op_binary_crossentropy = {
    .class = CNN_CLASS("loss", "BinaryCrossentropy", "bce", cnn_loss, binary_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .per_sample = true,
    .needs = 1u << 0 | 1u << 1,
    .constant = 1u << 1,
    .infer = pointwise_infer,
    .forward = pointwise_forward,
    .backward = pointwise_backward};

/*** The mean of squared errors: (y_pred - y_true)², over all but the first axis and then over the samples.
For numbers to be predicted; large errors weigh most. y_true and y_pred have the same shape.
@class cnn.losses.MeanSquaredError
@raise shapes that differ
@usage
cnn.losses.MeanSquaredError{}({{0, 0}, {0, 0}}, {{1, 1}, {3, 1}}):item()  --> 3.0
cnn.losses.MeanSquaredError{}({1, 2}, {{1, 2, 3}})
--> error: mean_squared_error: labels of shape (2,) do not fit predictions of shape (1, 3)
*/
const cnn_op cnn_op_mean_squared_error = {
    .class = CNN_CLASS("loss", "MeanSquaredError", "mse", cnn_loss, error_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .per_sample = true,
    .needs = 1u << 0 | 1u << 1,
    .constant = 1u << 1,
    .infer = pointwise_infer,
    .forward = pointwise_forward,
    .backward = pointwise_backward};

/*** The mean of |y_pred - y_true|, over all but the first axis and then over the samples.
For numbers to be predicted, where a few wild ones shall not decide. y_true and y_pred have the same shape.
@class cnn.losses.MeanAbsoluteError
@raise shapes that differ
@usage
cnn.losses.MeanAbsoluteError{}({{0, 0}, {0, 0}}, {{1, -1}, {3, 1}}):item()  --> 1.5
*/
const cnn_op cnn_op_mean_absolute_error = {
    .class = CNN_CLASS("loss", "MeanAbsoluteError", "mae", cnn_loss, error_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .per_sample = true,
    .needs = 1u << 0 | 1u << 1,
    .constant = 1u << 1,
    .infer = pointwise_infer,
    .forward = pointwise_forward,
    .backward = pointwise_backward};

/*** Squared where errors are small and linear where they are large (Huber 1964).
The mean of e² / 2 where |e| = |y_pred - y_true| is at most delta, of delta · |e| - delta² / 2 elsewhere. y_true and
y_pred have the same shape.
@class cnn.losses.Huber
@raise shapes that differ
@usage
cnn.losses.Huber{}({0}, {0.5}):item()          --> 0.125
cnn.losses.Huber{}({0}, {10}):item()           --> 9.5
cnn.losses.Huber{delta = 2}({0}, {10}):item()  --> 18.0
*/
const cnn_op cnn_op_huber = {.class = CNN_CLASS("loss", "Huber", "huber_loss", cnn_loss, huber_params),
                             .min_inputs = 2,
                             .max_inputs = 2,
                             .per_sample = true,
                             .needs = 1u << 0 | 1u << 1,
                             .constant = 1u << 1,
                             .infer = pointwise_infer,
                             .forward = pointwise_forward,
                             .backward = pointwise_backward};
