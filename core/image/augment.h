/* Random changes to pictures, one class a step; the pipeline that runs them is core/image/augment.c.
 *
 * Pictures are changed as float32, uint8 ones too: they are rounded and saturated at the end, or stay float32
 * where a step makes other numbers of them than brightnesses (rescale, normalize). A step draws from a stream of its
 * own, split off the picture's whether or not it is needed, so nothing that one step draws depends on what happened
 * in another. */
#ifndef CNN_IMAGE_AUGMENT_H
#define CNN_IMAGE_AUGMENT_H

#include "base/config.h"
#include "image/warp.h"

typedef struct cnn_step {
    const cnn_class *class; /* a cnn_step_class */
    double probability;     /* that a picture is changed */
    int fill,
        interpolation; /* of geometric steps: of CNN_STEP_FILLS and …_INTERPOLATIONS, 0 where it is left to others */
    double fill_value; /* NaN where it is left to others */
} cnn_step;

/* A picture on its way. pixels is the input itself until the first change. */
typedef struct cnn_frame {
    int64_t height, width, channels;
    const float *pixels;
    float *room[2]; /* each for a picture of the first size; the second is there for steps that move pixels */
    float *scratch; /* as much as the step asked for */
} cnn_frame;

/* The pixels, to be changed in place. */
float *cnn_frame_own(cnn_frame *frame);
/* Room for the next version of the picture; it is pixels from then on, when the old ones are still readable. */
float *cnn_frame_next(cnn_frame *frame);

/* Pictures as they were before a step mixes them, in a block, and the labels of each. */
typedef struct cnn_mix {
    const float *pictures, *labels;
    int64_t count, classes;
    float *label; /* of the picture that is changed */
} cnn_mix;

/* One of place, change and mix. */
typedef struct cnn_step_class {
    cnn_class class;
    bool real;                           /* makes numbers that are no brightnesses */
    bool moves;                          /* calls cnn_frame_next */
    bool colors;                         /* needs three channels, or four of which the last is left alone */
    cnn_status (*check)(cnn_step *step); /* what the table cannot say; may be NULL */
    /* The size of what becomes of a picture; NULL: the same. */
    cnn_status (*resize)(const cnn_step *step, int64_t *height, int64_t *width);
    int64_t (*scratch)(const cnn_step *step, int64_t height, int64_t width); /* floats; NULL: none */
    cnn_affine (*place)(const cnn_step *step, int64_t height, int64_t width, cnn_random *random);
    void (*change)(const cnn_step *step, cnn_frame *frame, cnn_random *random);
    void (*mix)(const cnn_step *step, cnn_frame *frame, const cnn_mix *mix, cnn_random *random);
} cnn_step_class;

/* An argument that is a number v or a list of two: from low to high. */
typedef struct cnn_range {
    double low, high;
} cnn_range;

/* A single v stands for the range from about - v to about + v. */
cnn_status cnn_range_read(cnn_range *out, const cnn_step *step, const char *argument, const cJSON *given,
                          double about);
/* A list of two that rises. */
cnn_status cnn_limits_read(cnn_range *out, const cnn_step *step, const char *argument, const cJSON *given);
double cnn_range_draw(const cnn_range *range, cnn_random *random);

#define CNN_STEP_FILLS "default constant nearest reflect wrap"
#define CNN_STEP_INTERPOLATIONS "default nearest bilinear"

#define CNN_STEP_PROBABILITY(struct_, default_)                                                              \
    CNN_PARAM_NAMED(FLOAT, struct_, head.probability, "probability", default_, .low = 0, .high = 1,          \
                    .help = "share of the pictures that are changed")
#define CNN_STEP_WARP(struct_)                                                                               \
    CNN_PARAM_NAMED(CHOICE, struct_, head.fill, "fill_mode", "\"default\"", .choices = CNN_STEP_FILLS,       \
                    .help = "what is seen beyond the border; of merged steps the last that says so "         \
                            "decides, and by default it is nearest"),                                        \
        CNN_PARAM_NAMED(FLOAT, struct_, head.fill_value, "fill_value", "null", .nullable = true,             \
                        .help = "of fill_mode constant; by default 0"),                                      \
        CNN_PARAM_NAMED(CHOICE, struct_, head.interpolation, "interpolation", "\"default\"",                 \
                        .choices = CNN_STEP_INTERPOLATIONS, .help = "by default bilinear")
#define CNN_STEP_VALUE_RANGE(struct_)                                                                        \
    CNN_PARAM(JSON, struct_, value_range, "[0, 255]", .help = "black and white; values are kept between")

/* The options of a warp by what steps say; of several the last that says something counts. */
cnn_warp_options cnn_step_options(const cnn_step *const *steps, int count);

/* All of them, by family; each list ends with NULL. */
extern const cnn_step_class *const cnn_steps_geometry[],
    *const cnn_steps_color[], *const cnn_steps_region[], *const cnn_steps_elastic[], *const cnn_steps_mix[];

#endif
