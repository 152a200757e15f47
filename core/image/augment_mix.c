/* Steps that mix pictures of a batch with others of it, and their labels alike. Each picture draws its partner, perhaps
 * itself, and its share by itself. */
#include "image/augment.h"
#include "base/status.h"

#include <math.h>

typedef struct blend {
    cnn_step head;
    double alpha;
} blend;

static const cnn_param mixup_params[] = {
    CNN_PARAM(FLOAT, blend, alpha, "0.2", .low = 1e-3, .high = 1e3,
              .help =
                  "of the Beta distribution of shares: near 0 few pictures change much, at 1 all do alike"),
    CNN_STEP_PROBABILITY(blend, "1"),
    {0}};

static const cnn_param cutmix_params[] = {
    CNN_PARAM(FLOAT, blend, alpha, "1", .low = 1e-3, .high = 1e3,
              .help = "of the Beta distribution of the area that is kept"),
    CNN_STEP_PROBABILITY(blend, "1"),
    {0}};

static double uniform(cnn_random *random) {
    float u;
    cnn_random_uniform(random, &u, 1, 0, 1);
    return u;
}

/* The logarithm of a Gamma number: G. Marsaglia, W. Tsang, A Simple Method for Generating Gamma Variables, 2000; for
 * shapes below 1 one of shape + 1 times a power of a uniform number. Logarithms, as small shapes give very small
 * ones. */
static double log_gamma(cnn_random *random, double shape) {
    double boost = shape < 1 ? log1p(-uniform(random)) / shape : 0;
    double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        float x;
        cnn_random_normal(random, &x, 1, 0, 1);
        double v = 1 + c * x, u = 1 - uniform(random);
        if (v <= 0) continue;
        v = v * v * v;
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return log(d * v) + boost;
    }
}

static double draw_beta(cnn_random *random, double alpha) {
    double a = log_gamma(random, alpha), b = log_gamma(random, alpha);
    return 1 / (1 + exp(b - a));
}

static int64_t draw_partner(const cnn_mix *mix, cnn_random *random) {
    int32_t partner;
    cnn_random_integers(random, &partner, 1, 0, (int32_t)mix->count);
    return partner;
}

static void blend_values(float *out, const float *other, double share, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i] = (float)(share * out[i] + (1 - share) * other[i]);
}

/* H. Zhang, M. Cisse, Y. Dauphin, D. Lopez-Paz, mixup: Beyond Empirical Risk Minimization, 2018. */
static void mixup(const cnn_step *step, cnn_frame *frame, const cnn_mix *mix, cnn_random *random) {
    int64_t size = frame->height * frame->width * frame->channels, partner = draw_partner(mix, random);
    double share = draw_beta(random, ((const blend *)step)->alpha);
    blend_values(cnn_frame_own(frame), mix->pictures + partner * size, share, size);
    blend_values(mix->label, mix->labels + partner * mix->classes, share, mix->classes);
}

static void limits_of(double centre, double side, int64_t size, int64_t *from, int64_t *to) {
    double low = nearbyint(centre - side / 2), high = nearbyint(centre + side / 2);
    *from = low > 0 ? (int64_t)low : 0;
    *to = high < (double)size ? (int64_t)high : size;
}

/* S. Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, 2019: a
 * rectangle of the partner, cut off at the border; labels by the area that is left. */
static void cutmix(const cnn_step *step, cnn_frame *frame, const cnn_mix *mix, cnn_random *random) {
    int64_t height = frame->height, width = frame->width, channels = frame->channels;
    int64_t partner = draw_partner(mix, random), top, bottom, left, right;
    double side = sqrt(1 - draw_beta(random, ((const blend *)step)->alpha));
    double y = uniform(random) * (double)height, x = uniform(random) * (double)width;
    limits_of(y, side * (double)height, height, &top, &bottom);
    limits_of(x, side * (double)width, width, &left, &right);
    const float *from = mix->pictures + partner * height * width * channels;
    float *to = cnn_frame_own(frame);
    for (int64_t row = top; row < bottom; row++)
        for (int64_t i = (row * width + left) * channels; i < (row * width + right) * channels; i++)
            to[i] = from[i];
    double cut = (double)((bottom - top) * (right - left)) / (double)(height * width);
    blend_values(mix->label, mix->labels + partner * mix->classes, 1 - cut, mix->classes);
}

/*** Blends each picture of a batch with another one of it, and their labels alike (Zhang et al. 2018).

share · picture + (1 - share) · other, the share drawn from a Beta(alpha, alpha) distribution. Pictures are [N,H,W,C],
labels one-hot [N,classes].
@class cnn.augment.mixup
@raise one picture alone; labels that are not one-hot
@usage
images = cnn.zeros{2, 1, 1, 1}
images[2] = 1
labels = cnn.tensor{{1, 0}, {0, 1}}
x, y = cnn.augment.mixup{1}(images, labels)
x[1]:item() == y[{1, 2}]              -- as much of the white one in the picture as in its label
--> true
*/
static const cnn_step_class mixup_class = {
    .class = CNN_CLASS("augmentation", "mixup", NULL, blend, mixup_params), .mix = mixup};

/*** Puts a rectangle of another picture of the batch into each one, and mixes their labels by area (Yun et al. 2019).
The area that is kept is drawn from a Beta(alpha, alpha) distribution. Pictures are [N,H,W,C], labels one-hot
[N,classes].
@class cnn.augment.cutmix
@raise one picture alone; labels that are not one-hot
@usage
images = cnn.zeros{2, 8, 8, 1}
images[2] = 1
x, y = cnn.augment.cutmix{}(images, cnn.tensor{{1, 0}, {0, 1}})
x[1]:mean():item() == y[{1, 2}]       -- as much of the white one in the picture as in its label
--> true
*/
static const cnn_step_class cutmix_class = {
    .class = CNN_CLASS("augmentation", "cutmix", NULL, blend, cutmix_params), .mix = cutmix};

const cnn_step_class *const cnn_steps_mix[] = {&mixup_class, &cutmix_class, NULL};
