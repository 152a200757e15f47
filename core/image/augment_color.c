/* Steps that change values where they are: brightness, colours, noise, ranges. */
#include "image/augment.h"
#include "base/status.h"

#include <math.h>

static float clipped(double value, const cnn_range *to) {
    return (float)(value < to->low ? to->low : value > to->high ? to->high : value);
}

static int64_t values_of(const cnn_frame *frame) {
    return frame->height * frame->width * frame->channels;
}

/* x = factor·x + offset, and between the limits. */
static void scale_values(cnn_frame *frame, double factor, double offset, const cnn_range *limits) {
    float *x = cnn_frame_own(frame);
    int64_t count = values_of(frame);
    float f = (float)factor, o = (float)offset, low = (float)limits->low, high = (float)limits->high;
    for (int64_t i = 0; i < count; i++) {
        float v = f * x[i] + o;
        v = v < low ? low : v;
        x[i] = v > high ? high : v;
    }
}

/* ---- brightness, contrast, saturation, hue --------------------------------------------------------------- */

/* The struct of all four, and of brightness_delta. */
typedef struct tone {
    cnn_step head;
    cJSON *range, *value_range;
    cnn_range factor, limits;
} tone;

#define TONE_PARAMS(help_)                                                                                   \
    {                                                                                                        \
        CNN_PARAM(JSON, tone, range, NULL, .help = help_), CNN_STEP_PROBABILITY(tone, "1"),                  \
            CNN_STEP_VALUE_RANGE(tone), {                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }

static const cnn_param factor_params[] = TONE_PARAMS("v: factors from 1 - v to 1 + v; {low, high}: between");
static const cnn_param delta_params[] =
    TONE_PARAMS("v: from -v to v; {low, high}: between; shares of the way from black to white");
static const cnn_param hue_params[] =
    TONE_PARAMS("v: from -v to v; {low, high}: between; shares of a turn around the wheel of colours");

static cnn_status factor_check(cnn_step *step) {
    tone *s = (tone *)step;
    CNN_TRY(cnn_limits_read(&s->limits, step, "value_range", s->value_range));
    CNN_TRY(cnn_range_read(&s->factor, step, "range", s->range, 1));
    if (s->factor.low >= 0) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'range' must lead to factors of at least 0, got %g to %g",
                    step->class->name, s->factor.low, s->factor.high);
}

static cnn_status delta_check(cnn_step *step) {
    tone *s = (tone *)step;
    CNN_TRY(cnn_limits_read(&s->limits, step, "value_range", s->value_range));
    return cnn_range_read(&s->factor, step, "range", s->range, 0);
}

static void brightness(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const tone *s = (const tone *)step;
    double factor = cnn_range_draw(&s->factor, random);
    scale_values(frame, factor, s->limits.low * (1 - factor), &s->limits);
}

static void brightness_delta(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const tone *s = (const tone *)step;
    double delta = cnn_range_draw(&s->factor, random) * (s->limits.high - s->limits.low);
    scale_values(frame, 1, delta, &s->limits);
}

/* Away from each channel's mean, or nearer to it (keras.layers.RandomContrast). */
static void contrast(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const tone *s = (const tone *)step;
    double factor = cnn_range_draw(&s->factor, random);
    float *x = cnn_frame_own(frame);
    int64_t count = values_of(frame), step_ = frame->channels;
    for (int64_t c = 0; c < step_; c++) {
        double sum = 0;
        for (int64_t i = c; i < count; i += step_) sum += x[i];
        double mean = sum / (double)(frame->height * frame->width);
        for (int64_t i = c; i < count; i += step_) x[i] = clipped(mean + factor * (x[i] - mean), &s->limits);
    }
}

/* Away from the grey of the same brightness (by the weights of ITU-R BT.601), or nearer to it. */
static void saturation(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const tone *s = (const tone *)step;
    double factor = cnn_range_draw(&s->factor, random);
    float *x = cnn_frame_own(frame);
    for (int64_t i = 0, count = values_of(frame); i < count; i += frame->channels) {
        double grey = 0.2989 * x[i] + 0.587 * x[i + 1] + 0.114 * x[i + 2];
        for (int64_t c = i; c < i + 3; c++) x[c] = clipped(grey + factor * (x[c] - grey), &s->limits);
    }
}

/* In sixths of a turn from red by way of green, for a pixel that is not grey. */
static double hue_of(const float rgb[3], double highest, double spread) {
    if (rgb[0] >= highest) return (rgb[1] - rgb[2]) / spread;
    if (rgb[1] >= highest) return 2 + (rgb[2] - rgb[0]) / spread;
    return 4 + (rgb[0] - rgb[1]) / spread;
}

/* How much of the spread between the lowest and the highest a channel has, its own hue being at 0. */
static double share_at(double sixths) {
    double away = fabs(remainder(sixths, 6));
    return away <= 1 ? 1 : away >= 2 ? 0 : 2 - away;
}

/* The largest and the smallest of a pixel's values stay, so its value and saturation in HSV do. */
static void hue(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    double turn = 6 * cnn_range_draw(&((const tone *)step)->factor, random);
    float *x = cnn_frame_own(frame);
    for (int64_t i = 0, count = values_of(frame); i < count; i += frame->channels) {
        double highest = fmax(fmax(x[i], x[i + 1]), x[i + 2]), lowest = fmin(fmin(x[i], x[i + 1]), x[i + 2]);
        double spread = highest - lowest;
        if (!(spread > 0)) continue;
        double at = hue_of(x + i, highest, spread) + turn;
        for (int c = 0; c < 3; c++) x[i + c] = (float)(lowest + spread * share_at(at - 2 * c));
    }
}

/*** Multiplies how far values are from black by a random factor; they are kept within value_range.
@class cnn.augment.brightness
@raise a range that is neither a number nor {low, high}
@usage
brighter = cnn.augment.brightness{{2, 2}}
brighter(cnn.tensor{0, 50, 200}:reshape{1, 3, 1}):reshape{3}
--> float32 (3,)
--> [  0. 100. 255.]
*/
static const cnn_step_class brightness_class = {
    .class = CNN_CLASS("augmentation", "brightness", NULL, tone, factor_params),
    .check = factor_check,
    .change = brightness};

/*** Adds a random number to all values of each picture; they are kept within value_range.
The range counts in shares of the way from black to white: 0.2 is up to 51 of 255 either way.
@class cnn.augment.brightness_delta
@raise a range that is neither a number nor {low, high}
@usage
brighter = cnn.augment.brightness_delta{{0.2, 0.2}}
brighter(cnn.tensor{0, 100, 250}:reshape{1, 3, 1}):reshape{3}
--> float32 (3,)
--> [ 51. 151. 255.]
*/
static const cnn_step_class brightness_delta_class = {
    .class = CNN_CLASS("augmentation", "brightness_delta", NULL, tone, delta_params),
    .check = delta_check,
    .change = brightness_delta};

/*** Multiplies by a random factor how far values are from the mean of their channel; they are kept within value_range.
@class cnn.augment.contrast
@raise a range that is neither a number nor {low, high}
@usage
half = cnn.augment.contrast{{0.5, 0.5}}
half(cnn.tensor{100, 200}:reshape{1, 2, 1}):reshape{2}
--> float32 (2,)
--> [125. 175.]
*/
static const cnn_step_class contrast_class = {
    .class = CNN_CLASS("augmentation", "contrast", NULL, tone, factor_params),
    .check = factor_check,
    .change = contrast};

/*** Multiplies by a random factor how far colours are from the grey of their brightness: 0 makes a grey picture.
Pictures have three channels, or four of which the last stays. The brightness is that of ITU-R BT.601.
@class cnn.augment.saturation
@raise pictures without colours
@usage
grey = cnn.augment.saturation{{0, 0}}
grey(cnn.tensor({{{255, 0, 0}}}, "uint8")):reshape{3}
--> uint8 (3,)
--> [76 76 76]
*/
static const cnn_step_class saturation_class = {
    .class = CNN_CLASS("augmentation", "saturation", NULL, tone, factor_params),
    .colors = true,
    .check = factor_check,
    .change = saturation};

/*** Turns the wheel of colours by a random share of a turn: a third makes green of red.
The largest and the smallest of a pixel's values stay. Pictures have three channels, or four of which the last stays.
@class cnn.augment.hue
@raise pictures without colours
@usage
third = cnn.augment.hue{{1 / 3, 1 / 3}}
third(cnn.tensor({{{255, 0, 0}}}, "uint8")):reshape{3}
--> uint8 (3,)
--> [  0 255   0]
*/
static const cnn_step_class hue_class = {.class = CNN_CLASS("augmentation", "hue", NULL, tone, hue_params),
                                         .colors = true,
                                         .check = delta_check,
                                         .change = hue};

/* ---- channel_shift --------------------------------------------------------------------------------------- */

typedef struct channel_shift {
    cnn_step head;
    cJSON *range;
    bool per_channel;
    cnn_range by;
} channel_shift;

static const cnn_param channel_shift_params[] = {
    CNN_PARAM(JSON, channel_shift, range, NULL,
              .help = "v: from -v to v; {low, high}: between; in the values' units"),
    CNN_PARAM(BOOL, channel_shift, per_channel, "false", .help = "another number for each channel"),
    CNN_STEP_PROBABILITY(channel_shift, "1"),
    {0}};

static cnn_status channel_shift_check(cnn_step *step) {
    channel_shift *s = (channel_shift *)step;
    return cnn_range_read(&s->by, step, "range", s->range, 0);
}

/* Values are kept between the picture's smallest and largest, as ImageDataGenerator does. */
static void channel_shift_change(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const channel_shift *s = (const channel_shift *)step;
    float *x = cnn_frame_own(frame);
    int64_t count = values_of(frame);
    cnn_range limits = {x[0], x[0]};
    for (int64_t i = 0; i < count; i++) {
        limits.low = x[i] < limits.low ? x[i] : limits.low;
        limits.high = x[i] > limits.high ? x[i] : limits.high;
    }
    double by = 0;
    for (int64_t c = 0; c < frame->channels; c++) {
        if (c == 0 || s->per_channel) by = cnn_range_draw(&s->by, random);
        for (int64_t i = c; i < count; i += frame->channels) x[i] = clipped(x[i] + by, &limits);
    }
}

/*** Adds a random number to all values of each picture, or with per_channel another one to each channel.
As by Keras's ImageDataGenerator, values are kept between the smallest and the largest of the picture.
@class cnn.augment.channel_shift
@raise a range that is neither a number nor {low, high}
@usage
shift = cnn.augment.channel_shift{{20, 20}}
shift(cnn.tensor{0, 100, 250}:reshape{1, 3, 1}):reshape{3}
--> float32 (3,)
--> [ 20. 120. 250.]
*/
static const cnn_step_class channel_shift_class = {
    .class = CNN_CLASS("augmentation", "channel_shift", NULL, channel_shift, channel_shift_params),
    .check = channel_shift_check,
    .change = channel_shift_change};

/* ---- noise ----------------------------------------------------------------------------------------------- */

typedef struct noise {
    cnn_step head;
    double stddev;
} noise;

static const cnn_param noise_params[] = {
    CNN_PARAM(FLOAT, noise, stddev, NULL, .low = 0, .high = INFINITY, .help = "in the values' units"),
    CNN_STEP_PROBABILITY(noise, "1"),
    {0}};

static void noise_change(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    enum { SOME = 256 };
    float *x = cnn_frame_own(frame), numbers[SOME];
    for (int64_t i = 0, count = values_of(frame); i < count; i += SOME) {
        int64_t n = count - i < SOME ? count - i : SOME;
        cnn_random_normal(random, numbers, n, 0, (float)((const noise *)step)->stddev);
        for (int64_t k = 0; k < n; k++) x[i + k] += numbers[k];
    }
}

/*** Adds normal random numbers to all values of each picture, another to each.
@class cnn.augment.noise
@usage
noise = cnn.augment.noise{10}
x = noise(cnn.zeros{100, 100, 1})
("%.0f"):format(x:std():item())  --> 10
*/
static const cnn_step_class noise_class = {
    .class = CNN_CLASS("augmentation", "noise", NULL, noise, noise_params), .change = noise_change};

/* ---- rescale, normalize, clip ------------------------------------------------------------------------------ */

typedef struct rescale {
    cnn_step head;
    double scale, offset;
} rescale;

static const cnn_param rescale_params[] = {
    CNN_PARAM(FLOAT, rescale, scale, NULL, .help = "values are multiplied with this"),
    CNN_PARAM(FLOAT, rescale, offset, "0", .help = "and this is added"),
    CNN_STEP_PROBABILITY(rescale, "1"),
    {0}};

static void rescale_change(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const rescale *s = (const rescale *)step;
    (void)random;
    scale_values(frame, s->scale, s->offset, &(cnn_range){-INFINITY, INFINITY});
}

/*** Multiplies values with a number and adds another; of bytes it makes float32.
@class cnn.augment.rescale
@usage
unit = cnn.augment.rescale{1 / 255}
unit(cnn.tensor({{{0, 51, 255}}}, "uint8")):dtype()  --> float32
cnn.augment.rescale{2, 1}(cnn.tensor{0, 1, 2}:reshape{1, 3, 1}):reshape{3}
--> float32 (3,)
--> [1. 3. 5.]
*/
static const cnn_step_class rescale_class = {
    .class = CNN_CLASS("augmentation", "rescale", NULL, rescale, rescale_params),
    .real = true,
    .change = rescale_change};

typedef struct normalize {
    cnn_step head;
    bool center, std_normalization;
} normalize;

static const cnn_param normalize_params[] = {
    CNN_PARAM(BOOL, normalize, center, "true", .help = "subtract the picture's mean"),
    CNN_PARAM(BOOL, normalize, std_normalization, "true", .help = "divide by its standard deviation"),
    CNN_STEP_PROBABILITY(normalize, "1"),
    {0}};

/* As ImageDataGenerator's samplewise_center and samplewise_std_normalization. */
static void normalize_change(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const normalize *s = (const normalize *)step;
    float *x = cnn_frame_own(frame);
    int64_t count = values_of(frame);
    double sum = 0, squares = 0;
    (void)random;
    for (int64_t i = 0; i < count; i++) sum += x[i];
    double mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) squares += (x[i] - mean) * (x[i] - mean);
    double factor = s->std_normalization ? 1 / (sqrt(squares / (double)count) + 1e-6) : 1;
    double from = s->center ? mean : 0;
    for (int64_t i = 0; i < count; i++) x[i] = (float)((x[i] - from) * factor);
}

/*** Gives each picture mean 0 and standard deviation 1; of bytes it makes float32.
As samplewise_center and samplewise_std_normalization of Keras's ImageDataGenerator.
@class cnn.augment.normalize
@usage
normalize = cnn.augment.normalize{}
x = normalize(cnn.tensor{10, 30, 10, 30}:reshape{2, 2, 1}):reshape{4}
("%.3f, %.3f"):format(x[1], x[2])  --> -1.000, 1.000
*/
static const cnn_step_class normalize_class = {
    .class = CNN_CLASS("augmentation", "normalize", NULL, normalize, normalize_params),
    .real = true,
    .change = normalize_change};

typedef struct clip {
    cnn_step head;
    double low, high;
} clip;

static const cnn_param clip_params[] = {CNN_PARAM(FLOAT, clip, low, "0", .help = "no value is below this"),
                                        CNN_PARAM(FLOAT, clip, high, "255", .help = "nor above this"),
                                        CNN_STEP_PROBABILITY(clip, "1"),
                                        {0}};

static cnn_status clip_check(cnn_step *step) {
    const clip *s = (const clip *)step;
    if (s->low <= s->high) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "clip: 'high' must be at least 'low', %g, got %g", s->low, s->high);
}

static void clip_change(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const clip *s = (const clip *)step;
    (void)random;
    scale_values(frame, 1, 0, &(cnn_range){s->low, s->high});
}

/*** Keeps values between two numbers: after noise, say.
@class cnn.augment.clip
@usage
cnn.augment.clip{0, 1}(cnn.tensor{-1, 0.5, 2}:reshape{1, 3, 1}):reshape{3}
--> float32 (3,)
--> [0.  0.5 1. ]
*/
static const cnn_step_class clip_class = {.class = CNN_CLASS("augmentation", "clip", NULL, clip, clip_params),
                                          .check = clip_check,
                                          .change = clip_change};

const cnn_step_class *const cnn_steps_color[] = {&brightness_class,
                                                 &brightness_delta_class,
                                                 &contrast_class,
                                                 &saturation_class,
                                                 &hue_class,
                                                 &channel_shift_class,
                                                 &noise_class,
                                                 &rescale_class,
                                                 &normalize_class,
                                                 &clip_class,
                                                 NULL};
