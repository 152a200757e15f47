/* Pipelines of random changes.
 *
 * Pictures are worked on in parallel, each by itself from the input to the output, but for steps that mix them:
 * there all wait for each other, and the step sees the others as they were before it. Picture n draws from the n-th
 * stream split off the caller's generator, and step k of it from the k-th split off that, so results depend neither
 * on the number of threads nor on what other steps drew. */
#include "image/augment.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

struct cnn_augment {
    atomic_int refs; /* datasets share one among threads */
    int count;
    cnn_step *steps[];
};

static const cnn_step_class *class_of(const cnn_step *step) {
    return (const cnn_step_class *)step->class;
}

/* ---- classes ------------------------------------------------------------------------------------------- */

enum { MOST_CLASSES = 32, MOST_STEPS = 1000 };

static const cnn_step_class *const *const families[] = {cnn_steps_geometry, cnn_steps_color, cnn_steps_region,
                                                        cnn_steps_elastic, cnn_steps_mix};

static void list_classes(const cnn_class *out[MOST_CLASSES + 1]) {
    int count = 0;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (int i = 0; families[f][i] && count < MOST_CLASSES; i++) out[count++] = &families[f][i]->class;
    out[count] = NULL;
}

const char *const *cnn_augment_names(void) {
    static const char *const names[] = {
        "rotate",   "shift",      "shear", "zoom",          "flip",  "brightness", "brightness_delta",
        "contrast", "saturation", "hue",   "channel_shift", "noise", "rescale",    "normalize",
        "clip",     "crop",       "erase", "elastic",       "mixup", "cutmix",     NULL};
    return names;
}

/* ---- arguments ----------------------------------------------------------------------------------------- */

static bool is_pair(const cJSON *given) {
    return cJSON_IsArray(given) && cJSON_GetArraySize(given) == 2 && cJSON_IsNumber(given->child) &&
           cJSON_IsNumber(given->child->next);
}

static bool rises(const cnn_range *range) {
    return isfinite(range->low) && isfinite(range->high) && range->low <= range->high;
}

cnn_status cnn_range_read(cnn_range *out, const cnn_step *step, const char *argument, const cJSON *given,
                          double about) {
    cnn_range read = {NAN, NAN};
    if (cJSON_IsNumber(given))
        read = (cnn_range){about - fabs(given->valuedouble), about + fabs(given->valuedouble)};
    else if (is_pair(given))
        read = (cnn_range){given->child->valuedouble, given->child->next->valuedouble};
    if (!rises(&read))
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: '%s' must be a number or a lowest and a highest one, with finite values",
                        step->class->name, argument);
    *out = read;
    return CNN_OK;
}

cnn_status cnn_limits_read(cnn_range *out, const cnn_step *step, const char *argument, const cJSON *given) {
    if (is_pair(given)) return cnn_range_read(out, step, argument, given, 0);
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' must be a lowest and a highest number", step->class->name,
                    argument);
}

double cnn_range_draw(const cnn_range *range, cnn_random *random) {
    float u;
    cnn_random_uniform(random, &u, 1, 0, 1);
    return range->low + u * (range->high - range->low);
}

cnn_warp_options cnn_step_options(const cnn_step *const *steps, int count) {
    cnn_warp_options options = {CNN_BILINEAR, CNN_FILL_NEAREST, 0};
    for (int i = 0; i < count; i++) {
        const cnn_step *s = steps[i];
        if (s->fill > 0) options.fill = (cnn_fill)(s->fill - 1);
        if (s->interpolation > 0) options.method = s->interpolation == 1 ? CNN_NEAREST : CNN_BILINEAR;
        if (!isnan(s->fill_value)) options.value = s->fill_value;
    }
    return options;
}

/* ---- making -------------------------------------------------------------------------------------------- */

static cnn_status add_step(cnn_augment *augment, const cJSON *spec) {
    const cnn_class *classes[MOST_CLASSES + 1];
    void *made;
    list_classes(classes);
    CNN_TRY(cnn_object_from(&made, classes, spec));
    cnn_step *step = made;
    cnn_status status = class_of(step)->check ? class_of(step)->check(step) : CNN_OK;
    if (status != CNN_OK)
        cnn_object_free(step);
    else
        augment->steps[augment->count++] = step;
    return status;
}

static cnn_status make(cnn_augment **out, const cJSON *list) {
    int count = cJSON_GetArraySize(list);
    bool empty = cJSON_IsObject(list) && count == 0; /* Lua's {} may be either */
    if ((!cJSON_IsArray(list) && !empty) || count > MOST_STEPS)
        return cnn_fail(CNN_ERROR_ARGUMENT, "augment: expected a list of at most %d steps", MOST_STEPS);
    size_t bytes = sizeof(cnn_augment) + (size_t)count * sizeof(cnn_step *);
    cnn_augment *augment = cnn_calloc(bytes);
    if (!augment) return cnn_fail_memory(bytes);
    atomic_init(&augment->refs, 1);
    const cJSON *spec;
    cJSON_ArrayForEach(spec, list) {
        cnn_status status = add_step(augment, spec);
        if (status == CNN_OK) continue;
        cnn_augment_release(augment);
        return status;
    }
    *out = augment;
    return CNN_OK;
}

cnn_status cnn_augment_new(cnn_augment **out, const char *steps) {
    cJSON *list;
    CNN_TRY(cnn_json_parse(&list, "augment", steps));
    cnn_status status = make(out, list);
    cJSON_Delete(list);
    return status;
}

cnn_augment *cnn_augment_retain(cnn_augment *augment) {
    atomic_fetch_add(&augment->refs, 1);
    return augment;
}

void cnn_augment_release(cnn_augment *augment) {
    if (!augment || atomic_fetch_sub(&augment->refs, 1) > 1) return;
    for (int i = 0; i < augment->count; i++) cnn_object_free(augment->steps[i]);
    cnn_free(augment);
}

/* ---- one picture --------------------------------------------------------------------------------------- */

static size_t frame_bytes(const cnn_frame *frame) {
    return (size_t)(frame->height * frame->width * frame->channels) * sizeof(float);
}

float *cnn_frame_own(cnn_frame *frame) {
    if (frame->pixels == frame->room[0]) return frame->room[0];
    if (frame->pixels == frame->room[1]) return frame->room[1];
    memcpy(frame->room[0], frame->pixels, frame_bytes(frame));
    frame->pixels = frame->room[0];
    return frame->room[0];
}

float *cnn_frame_next(cnn_frame *frame) {
    float *next = frame->room[frame->pixels == frame->room[0]];
    frame->pixels = next;
    return next;
}

/* Whether the picture is one of those that are changed. */
static bool happens(const cnn_step *step, cnn_random *random) {
    float u;
    cnn_random_uniform(random, &u, 1, 0, 1);
    return u < step->probability;
}

static bool is_identity(const cnn_affine *a) {
    return a->xx == 1 && a->xy == 0 && a->x0 == 0 && a->yx == 0 && a->yy == 1 && a->y0 == 0;
}

/* Neighbouring steps with a place, as one warp. */
static void warp(const cnn_step *const *steps, int count, cnn_frame *frame, cnn_random *random) {
    cnn_affine at = cnn_affine_identity();
    for (int i = 0; i < count; i++) {
        cnn_random own = cnn_random_split(random);
        if (!happens(steps[i], &own)) continue;
        cnn_affine next = class_of(steps[i])->place(steps[i], frame->height, frame->width, &own);
        at = cnn_affine_compose(at, next);
    }
    if (is_identity(&at)) return;
    cnn_warp w = {.in_height = frame->height,
                  .in_width = frame->width,
                  .out_height = frame->height,
                  .out_width = frame->width,
                  .channels = frame->channels,
                  .at = cnn_affine_centred(at, frame->height, frame->width),
                  .options = cnn_step_options(steps, count)};
    const float *from = frame->pixels;
    cnn_warp_picture(&w, from, cnn_frame_next(frame));
}

/* ---- all pictures -------------------------------------------------------------------------------------- */

typedef struct run {
    const cnn_augment *augment;
    const cnn_tensor *images;
    cnn_pictures from;
    int64_t height, width; /* of the output */
    cnn_tensor *out, *labels;
    cnn_frame *frames;
    cnn_random *random; /* a stream a picture */
    float *room, *scratch;
    int64_t room_size, room_count, scratch_size; /* of a picture; of a thread */
    cnn_mix mix;
    int first, last; /* the steps of a pass, a mixing one or others */
} run;

static bool is_mixing(const run *r, int step) {
    return class_of(r->augment->steps[step])->mix != NULL;
}

static void pass_picture(void *context, int64_t n, int thread) {
    run *r = context;
    cnn_frame *frame = &r->frames[n];
    const cnn_step *const *steps = (const cnn_step *const *)r->augment->steps;
    frame->scratch = r->scratch + thread * r->scratch_size;
    for (int i = r->first, next; i < r->last; i = next) {
        const cnn_step_class *class = class_of(steps[i]);
        next = i + 1;
        if (class->place) {
            while (next < r->last && class_of(steps[next])->place) next++;
            warp(steps + i, next - i, frame, &r->random[n]);
            continue;
        }
        cnn_random own = cnn_random_split(&r->random[n]);
        if (!happens(steps[i], &own)) continue;
        if (class->mix) {
            cnn_mix mix = r->mix;
            mix.label = cnn_f32(r->labels) + n * mix.classes;
            class->mix(steps[i], frame, &mix, &own);
        } else {
            class->change(steps[i], frame, &own);
        }
    }
}

static cnn_status pass(run *r) {
    if (!is_mixing(r, r->first)) {
        cnn_parallel(r->from.count, pass_picture, r);
        return CNN_OK;
    }
    size_t each = frame_bytes(&r->frames[0]), labels = cnn_tensor_bytes(r->labels);
    char *before = cnn_malloc((size_t)r->from.count * each + labels);
    if (!before) return cnn_fail_memory((size_t)r->from.count * each + labels);
    for (int64_t n = 0; n < r->from.count; n++) memcpy(before + (size_t)n * each, r->frames[n].pixels, each);
    memcpy(before + (size_t)r->from.count * each, r->labels->data, labels);
    r->mix.pictures = (const float *)before;
    r->mix.labels = (const float *)(before + (size_t)r->from.count * each);
    cnn_parallel(r->from.count, pass_picture, r);
    cnn_free(before);
    return CNN_OK;
}

static cnn_status pass_all(run *r) {
    for (r->first = 0; r->first < r->augment->count; r->first = r->last) {
        r->last = r->first + 1;
        if (!is_mixing(r, r->first))
            while (r->last < r->augment->count && !is_mixing(r, r->last)) r->last++;
        CNN_TRY(pass(r));
    }
    return CNN_OK;
}

static void to_floats(void *context, int64_t n, int thread) {
    run *r = context;
    (void)thread;
    const uint8_t *from = cnn_u8(r->images) + n * r->room_size;
    float *to = cnn_frame_next(&r->frames[n]);
    for (int64_t i = 0; i < r->room_size; i++) to[i] = from[i];
}

static void finish_picture(void *context, int64_t n, int thread) {
    const run *r = context;
    (void)thread;
    int64_t size = r->height * r->width * r->from.channels;
    const float *from = r->frames[n].pixels;
    if (r->out->dtype == CNN_FLOAT32) {
        float *to = cnn_f32(r->out) + n * size;
        if (from != to) memcpy(to, from, (size_t)size * sizeof *to);
    } else {
        uint8_t *to = cnn_u8(r->out) + n * size;
        for (int64_t i = 0; i < size; i++)
            to[i] = (uint8_t)(from[i] > 0 ? from[i] < 255 ? from[i] + 0.5f : 255 : 0);
    }
}

/* ---- what a run needs ---------------------------------------------------------------------------------- */

static cnn_status check_colors(const run *r, const cnn_step *step) {
    if (!class_of(step)->colors || r->from.channels == 3 || r->from.channels == 4) return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE, "%s: expected pictures of 3 or 4 channels, got %lld", step->class->name,
                    (long long)r->from.channels);
}

/* Sizes, dtype and scratch by what the steps say. */
static cnn_status plan(run *r, cnn_dtype *dtype, bool mixes, bool *moves) {
    for (int i = 0; i < r->augment->count; i++) {
        const cnn_step *step = r->augment->steps[i];
        const cnn_step_class *class = class_of(step);
        CNN_TRY(check_colors(r, step));
        if (class->mix && !mixes) {
            char shape[CNN_SHAPE_TEXT];
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "%s: mixes pictures of a batch, [N,H,W,C], with their labels, float32 [N,K], got "
                            "pictures of shape %s without such labels",
                            class->class.name,
                            cnn_shape_text(shape, sizeof shape, r->images->rank, r->images->shape));
        }
        if (class->scratch) {
            int64_t size = class->scratch(step, r->height, r->width);
            if (size > r->scratch_size) r->scratch_size = size;
        }
        if (class->resize) CNN_TRY(class->resize(step, &r->height, &r->width));
        if (class->real) *dtype = CNN_FLOAT32;
        *moves = *moves || class->place || class->moves;
    }
    return CNN_OK;
}

static cnn_status check_labels(const run *r, const cnn_tensor *labels) {
    if (!labels) return CNN_OK;
    CNN_TRY(cnn_check_values("augment", labels));
    if (labels->dtype == CNN_FLOAT32 && labels->rank == 2 && labels->shape[0] == r->from.count &&
        r->images->rank == 4)
        return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE,
                    "augment: expected pictures [N,H,W,C] with labels float32 [N,K], got %lld pictures with "
                    "%s of %d axes",
                    (long long)r->from.count, cnn_dtype_name(labels->dtype), labels->rank);
}

/* Pictures begin in the output if they fit there as they are, so that what ends there need not be copied. */
static cnn_status open_run(run *r, cnn_dtype dtype, bool moves) {
    int64_t count = r->from.count, shape[] = {count, r->height, r->width, r->from.channels};
    bool batch = r->images->rank == 4;
    int rank = r->images->rank;
    CNN_TRY(cnn_tensor_alloc_for("augment", &r->out, dtype, rank, shape + !batch));
    r->room_size = r->from.height * r->from.width * r->from.channels;
    bool in_place = dtype == CNN_FLOAT32 && r->out->size == count * r->room_size;
    r->room_count = 1 + moves - in_place;
    size_t frames = (size_t)count * sizeof *r->frames, streams = (size_t)count * sizeof *r->random;
    size_t room = (size_t)(count * r->room_count * r->room_size) * sizeof(float);
    size_t scratch = (size_t)(cnn_threads() * r->scratch_size) * sizeof(float);
    if (!(r->frames = cnn_calloc(frames))) return cnn_fail_memory(frames);
    if (!(r->random = cnn_malloc(streams))) return cnn_fail_memory(streams);
    if (!(r->room = cnn_malloc(room))) return cnn_fail_memory(room);
    if (!(r->scratch = cnn_malloc(scratch))) return cnn_fail_memory(scratch);
    for (int64_t n = 0; n < count; n++) {
        float *room_of = r->room + n * r->room_count * r->room_size;
        cnn_frame *f = &r->frames[n];
        *f = (cnn_frame){.height = r->from.height, .width = r->from.width, .channels = r->from.channels};
        f->room[0] = in_place ? cnn_f32(r->out) + n * r->room_size : room_of;
        f->room[1] = in_place ? room_of : room_of + r->room_size;
        if (r->images->dtype == CNN_FLOAT32) f->pixels = cnn_f32(r->images) + n * r->room_size;
    }
    return CNN_OK;
}

static void close_run(run *r) {
    cnn_free(r->frames);
    cnn_free(r->random);
    cnn_free(r->room);
    cnn_free(r->scratch);
}

static cnn_status execute(run *r, const cnn_tensor *labels, cnn_random *random) {
    cnn_dtype dtype = r->images->dtype;
    bool moves = false;
    CNN_TRY(check_labels(r, labels));
    CNN_TRY(plan(r, &dtype, labels != NULL, &moves));
    CNN_TRY(open_run(r, dtype, moves));
    if (labels) {
        CNN_TRY(cnn_copy(&r->labels, labels));
        r->mix.count = r->from.count;
        r->mix.classes = labels->shape[1];
    }
    cnn_random stream = cnn_random_split(random);
    for (int64_t n = 0; n < r->from.count; n++) r->random[n] = cnn_random_split(&stream);
    if (r->images->dtype == CNN_UINT8) cnn_parallel(r->from.count, to_floats, r);
    CNN_TRY(pass_all(r));
    cnn_parallel(r->from.count, finish_picture, r);
    return CNN_OK;
}

cnn_status cnn_augment_apply(cnn_tensor **out, cnn_tensor **out_labels, const cnn_augment *augment,
                             const cnn_tensor *images, const cnn_tensor *labels, cnn_random *random) {
    run r = {.augment = augment, .images = images};
    CNN_TRY(cnn_pictures_of(&r.from, "augment", images));
    if (r.from.height > CNN_IMAGE_MAX_SIDE || r.from.width > CNN_IMAGE_MAX_SIDE)
        return cnn_fail(CNN_ERROR_SHAPE, "augment: sides of pictures must be at most 2^24");
    r.height = r.from.height;
    r.width = r.from.width;
    cnn_status status = execute(&r, labels, random);
    close_run(&r);
    if (status != CNN_OK) {
        cnn_tensor_release(r.out);
        cnn_tensor_release(r.labels);
        return status;
    }
    *out = r.out;
    if (labels && out_labels)
        *out_labels = r.labels;
    else
        cnn_tensor_release(r.labels);
    return CNN_OK;
}
