/* Pictures of another size: resized, or a part cut out of them. Of what is too small for that the longest part in the
 * right proportion is resized, as by Keras's layers. */
#include "ops/augment.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "image/image.h"

#include <string.h>

/* ---- the part that is seen ------------------------------------------------------------------------------- */

typedef struct box {
    int64_t top, left, height, width;
} box;

static int64_t shorter(int64_t in, int64_t other_in, int64_t out, int64_t other_out) {
    int64_t size = other_in * out / other_out;
    return size > in ? in : size < 1 ? 1 : size;
}

static box part_in_proportion(int64_t height, int64_t width, const cnn_resize *a) {
    int64_t h = shorter(height, width, a->height, a->width), w = shorter(width, height, a->width, a->height);
    return (box){.top = (height - h) / 2, .left = (width - w) / 2, .height = h, .width = w};
}

static int64_t place(int64_t room, double number) {
    return (int64_t)((double)(room + 1) * number);
}

/* In training a random crop is at one place in all pictures of a batch. */
static box box_of(const cnn_op_call *call) {
    const cnn_resize *a = call->attributes;
    int64_t height = call->inputs[0]->shape[1], width = call->inputs[0]->shape[2];
    int64_t rows = height - a->height, columns = width - a->width; /* that are left over */
    bool random = a->class == &cnn_op_random_crop.class;
    if (!random && a->crop == CNN_CROP_NONE) return (box){.height = height, .width = width};
    bool exact = random ? call->training : a->crop == CNN_CROP_CENTER;
    if (!exact || rows < 0 || columns < 0) return part_in_proportion(height, width, a);
    box b = {.top = rows / 2, .left = columns / 2, .height = a->height, .width = a->width};
    if (random) {
        double numbers[4];
        cnn_augment_draw(CNN_CROP, a->seed, call->step, 0, numbers);
        b.top = place(rows, numbers[0]);
        b.left = place(columns, numbers[1]);
    }
    return b;
}

static bool is_cut(const cnn_op_call *call, const box *b) {
    const cnn_resize *a = call->attributes;
    return b->height == a->height && b->width == a->width;
}

/* ---- cutting out ----------------------------------------------------------------------------------------- */

/* From the box in pictures to whole ones, or back. */
static void cut(const box *b, const cnn_tensor *pictures, float *whole, bool back) {
    int64_t height = pictures->shape[1], width = pictures->shape[2], channels = pictures->shape[3];
    int64_t row = b->width * channels;
    for (int64_t n = 0; n < pictures->shape[0]; n++)
        for (int64_t y = 0; y < b->height; y++, whole += row) {
            float *part = cnn_f32(pictures) + ((n * height + b->top + y) * width + b->left) * channels;
            memcpy(back ? part : whole, back ? whole : part, (size_t)row * sizeof *whole);
        }
}

/* ---- resizing backwards ---------------------------------------------------------------------------------- */

/* How each of `out` pixels of an axis is summed from `in`: [out,in], what becomes of a unit matrix. */
static cnn_status axis_weights(cnn_tensor **weights, const cnn_resize *a, int64_t in, int64_t out) {
    cnn_tensor *unit, *result;
    CNN_TRY(cnn_tensor_new(&unit, CNN_FLOAT32, 4, (int64_t[]){1, in, 1, in}));
    for (int64_t i = 0; i < in; i++) cnn_f32(unit)[i * in + i] = 1;
    cnn_status status = cnn_tensor_new(&result, CNN_FLOAT32, 4, (int64_t[]){1, out, 1, in});
    if (status == CNN_OK) {
        status =
            cnn_image_fit_into(result, unit, (cnn_interpolation)a->interpolation, false, CNN_ASPECT_STRETCH);
        if (status == CNN_OK)
            *weights = result;
        else
            cnn_tensor_release(result);
    }
    cnn_tensor_release(unit);
    return status;
}

/* sums [in,size] += weightsᵀ·row, which is row o of [out,size]. */
static void spread(const cnn_tensor *weights, int64_t o, const float *row, float *sums, int64_t stride,
                   int64_t size) {
    int64_t in = weights->shape[3];
    const float *w = cnn_f32(weights) + o * in;
    for (int64_t i = 0; i < in; i++)
        if (w[i] != 0)
            for (int64_t k = 0; k < size; k++) sums[i * stride + k] += w[i] * row[k];
}

/* dx, cleared before, of all pictures; row has room for one of the box. */
static void spread_pictures(const cnn_op_call *call, const box *b, const cnn_tensor *down,
                            const cnn_tensor *across, float *row) {
    const cnn_tensor *dy = call->grad_output, *dx = call->grad_inputs[0];
    int64_t height = dy->shape[1], width = dy->shape[2], channels = dy->shape[3];
    int64_t stride = dx->shape[2] * channels, used = b->width * channels;
    const float *from = cnn_f32(dy);
    for (int64_t n = 0; n < dy->shape[0]; n++) {
        float *to = cnn_f32(dx) + (n * dx->shape[1] + b->top) * stride + b->left * channels;
        for (int64_t y = 0; y < height; y++) {
            memset(row, 0, (size_t)used * sizeof *row);
            for (int64_t x = 0; x < width; x++, from += channels)
                spread(across, x, from, row, channels, channels);
            spread(down, y, row, to, stride, used);
        }
    }
}

static cnn_status resize_back(const cnn_op_call *call, const box *b) {
    const cnn_resize *a = call->attributes;
    cnn_tensor *down = NULL, *across = NULL;
    size_t bytes = (size_t)(b->width * call->grad_output->shape[3]) * sizeof(float);
    float *row = cnn_malloc(bytes);
    cnn_status status = row ? CNN_OK : cnn_fail_memory(bytes);
    if (status == CNN_OK) status = axis_weights(&down, a, b->height, a->height);
    if (status == CNN_OK) status = axis_weights(&across, a, b->width, a->width);
    if (status == CNN_OK) spread_pictures(call, b, down, across, row);
    cnn_tensor_release(across);
    cnn_tensor_release(down);
    cnn_free(row);
    return status;
}

/* ---- the ops --------------------------------------------------------------------------------------------- */

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)n_inputs;
    const cnn_resize *a = attributes;
    CNN_TRY(cnn_augment_infer((const cnn_op *)a->class, inputs[0], info));
    info->shape[1] = a->height;
    info->shape[2] = a->width;
    return CNN_OK;
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_resize *a = call->attributes;
    const cnn_tensor *x = call->inputs[0];
    box b = box_of(call);
    if (x->size == 0) return CNN_OK;
    if (is_cut(call, &b)) return cut(&b, x, cnn_f32(call->output), false), CNN_OK;
    bool whole = b.height == x->shape[1] && b.width == x->shape[2];
    return cnn_image_fit_into(call->output, x, (cnn_interpolation)a->interpolation, false,
                              whole ? CNN_ASPECT_STRETCH : CNN_ASPECT_CROP);
}

static cnn_status backward(const cnn_op_call *call) {
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx) return CNN_OK;
    box b = box_of(call);
    memset(dx->data, 0, cnn_tensor_bytes(dx));
    if (is_cut(call, &b)) return cut(&b, dx, cnn_f32(call->grad_output), true), CNN_OK;
    return resize_back(call, &b);
}

#define SIZE_PARAMS                                                                                          \
    CNN_PARAM(INT, cnn_resize, height, NULL, .low = 1, .high = 1 << 24, .help = "rows of the output"),       \
        CNN_PARAM(INT, cnn_resize, width, NULL, .low = 1, .high = 1 << 24, .help = "columns of the output")

static const cnn_param resize_params[] = {
    SIZE_PARAMS,
    CNN_PARAM(CHOICE, cnn_resize, interpolation, "\"bilinear\"", .choices = "nearest bilinear bicubic area",
              .help = "'nearest', 'bilinear', 'bicubic' or 'area'"),
    CNN_PARAM(CHOICE, cnn_resize, crop, "\"none\"", .choices = "none aspect center",
              .help = "'aspect': the longest part in the proportion of the output is resized; 'center': the "
                      "centre is cut out, where x is large enough"),
    {0}};

/* Pictures x [N,H,W,C] to [N,height,width,C], as tf.image.resize does it. */
const cnn_op cnn_op_resize = {.class = CNN_CLASS("op", "resize", NULL, cnn_resize, resize_params),
                              .min_inputs = 1,
                              .max_inputs = 1,
                              .per_sample = true,
                              .infer = infer,
                              .forward = forward,
                              .backward = backward};

static const cnn_param crop_params[] = {
    SIZE_PARAMS,
    CNN_PARAM(CHOICE, cnn_resize, interpolation, "\"bilinear\"", .choices = "nearest bilinear bicubic area",
              .help = "of what is resized: 'nearest', 'bilinear', 'bicubic' or 'area'"),
    CNN_PARAM(INT, cnn_resize, seed, "0", .help = "with the step, chooses the place"),
    {0}};

/* In training, a part [height,width] of x [N,H,W,C], of all pictures of a batch the same; else the longest part in
 * its proportion, resized. */
const cnn_op cnn_op_random_crop = {.class = CNN_CLASS("op", "random_crop", NULL, cnn_resize, crop_params),
                                   .min_inputs = 1,
                                   .max_inputs = 1,
                                   .per_sample = true,
                                   .random = true,
                                   .infer = infer,
                                   .forward = forward,
                                   .backward = backward};
