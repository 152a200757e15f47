/* Warps of tensors of pictures; the sampling itself is core/kernels/warp.c. */
#include "image/warp.h"
#include "base/parallel.h"
#include "base/status.h"
#include "image/image.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

#include <math.h>

void cnn_warp_picture(const cnn_warp *warp, const float *in, float *out) {
    cnn_kernel()->warp(warp, in, out);
}

void cnn_warp_picture_u8(const cnn_warp *warp, const uint8_t *in, uint8_t *out) {
    cnn_kernel()->warp_u8(warp, in, out);
}

void cnn_warp_picture_grad(const cnn_warp *warp, const float *grad_out, float *grad_in) {
    cnn_kernel()->warp_grad(warp, grad_out, grad_in);
}

/* ---- transforms ------------------------------------------------------------------------------------------ */

cnn_affine cnn_affine_identity(void) {
    return (cnn_affine){.xx = 1, .yy = 1};
}

cnn_affine cnn_affine_translation(double right, double down) {
    return (cnn_affine){.xx = 1, .yy = 1, .x0 = -right, .y0 = -down};
}

cnn_affine cnn_affine_rotation(double radians) {
    double c = cos(radians), s = sin(radians);
    return (cnn_affine){.xx = c, .xy = -s, .yx = s, .yy = c};
}

cnn_affine cnn_affine_shear(double along_x, double along_y) {
    return (cnn_affine){.xx = 1, .xy = along_x, .yx = along_y, .yy = 1};
}

cnn_affine cnn_affine_scale(double wider, double higher) {
    return (cnn_affine){.xx = 1 / wider, .yy = 1 / higher};
}

cnn_affine cnn_affine_compose(cnn_affine f, cnn_affine s) {
    return (cnn_affine){.xx = f.xx * s.xx + f.xy * s.yx,
                        .xy = f.xx * s.xy + f.xy * s.yy,
                        .x0 = f.xx * s.x0 + f.xy * s.y0 + f.x0,
                        .yx = f.yx * s.xx + f.yy * s.yx,
                        .yy = f.yx * s.xy + f.yy * s.yy,
                        .y0 = f.yx * s.x0 + f.yy * s.y0 + f.y0};
}

cnn_affine cnn_affine_centred(cnn_affine at, int64_t height, int64_t width) {
    double x = (double)(width - 1) / 2, y = (double)(height - 1) / 2;
    at.x0 += x - at.xx * x - at.xy * y;
    at.y0 += y - at.yx * x - at.yy * y;
    return at;
}

/* ---- many pictures ----------------------------------------------------------------------------------------- */

typedef struct job {
    cnn_warp warp;
    const cnn_tensor *images;
    cnn_tensor *out;
    const cnn_affine *transforms;
    bool one; /* for all pictures */
} job;

static void warp_one(void *context, int64_t n, int thread) {
    const job *j = context;
    (void)thread;
    cnn_warp w = j->warp;
    w.at = j->transforms[j->one ? 0 : n];
    int64_t from = n * w.in_height * w.in_width * w.channels;
    int64_t to = n * w.out_height * w.out_width * w.channels;
    if (j->images->dtype == CNN_UINT8)
        cnn_warp_picture_u8(&w, cnn_u8(j->images) + from, cnn_u8(j->out) + to);
    else
        cnn_warp_picture(&w, cnn_f32(j->images) + from, cnn_f32(j->out) + to);
}

static cnn_status check_transforms(const cnn_affine *transforms, int64_t count, const cnn_pictures *p) {
    if (count != 1 && count != p->count)
        return cnn_fail(CNN_ERROR_SHAPE,
                        "image.warp: expected one transform or one for each of %lld pictures, got %lld",
                        (long long)p->count, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        const cnn_affine *a = &transforms[i];
        const double all[] = {a->xx, a->xy, a->x0, a->yx, a->yy, a->y0};
        for (int k = 0; k < 6; k++)
            if (!isfinite(all[k]))
                return cnn_fail(CNN_ERROR_ARGUMENT,
                                "image.warp: expected finite numbers in the transform, got %g", all[k]);
    }
    return CNN_OK;
}

static cnn_status check_options(const cnn_warp_options *o) {
    if (o->method != CNN_NEAREST && o->method != CNN_BILINEAR)
        return cnn_fail(CNN_ERROR_ARGUMENT, "image.warp: 'interpolation' must be nearest or bilinear");
    if ((int)o->fill < CNN_FILL_CONSTANT || o->fill > CNN_FILL_WRAP)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "image.warp: 'fill_mode' must be constant, nearest, reflect or wrap");
    return CNN_OK;
}

cnn_status cnn_image_warp(cnn_tensor **out, const cnn_tensor *images, const cnn_affine *transforms,
                          int64_t count, int64_t height, int64_t width, const cnn_warp_options *options) {
    cnn_pictures p;
    CNN_TRY(cnn_pictures_of(&p, "image.warp", images));
    CNN_TRY(check_transforms(transforms, count, &p));
    CNN_TRY(check_options(options));
    if (height == 0) height = p.height;
    if (width == 0) width = p.width;
    if (height < 1 || width < 1 || height > CNN_IMAGE_MAX_SIDE || width > CNN_IMAGE_MAX_SIDE ||
        p.height > CNN_IMAGE_MAX_SIDE || p.width > CNN_IMAGE_MAX_SIDE)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "image.warp: sizes of pictures must be 1 to 2^24, got %lld by %lld to %lld by %lld",
                        (long long)p.height, (long long)p.width, (long long)height, (long long)width);
    int64_t shape[] = {p.count, height, width, p.channels};
    job j = {.warp = {.in_height = p.height,
                      .in_width = p.width,
                      .out_height = height,
                      .out_width = width,
                      .channels = p.channels,
                      .options = *options},
             .images = images,
             .transforms = transforms,
             .one = count == 1};
    bool batch = images->rank == 4;
    CNN_TRY(cnn_tensor_alloc_for("image.warp", &j.out, images->dtype, images->rank, shape + !batch));
    cnn_parallel(p.count, warp_one, &j);
    *out = j.out;
    return CNN_OK;
}
