/* Datasets of pictures in folders, with the arguments of Keras's image_dataset_from_directory.
 *
 * What is listed is sorted; a part of it (training or validation) keeps that order, and shuffling is a node of its
 * own on top. Pictures are read when they are asked for. One that does not decode is told once, and left out from
 * then on. */
#include "data/dataset.h"
#include "data/listing.h"
#include "base/config.h"
#include "base/memory.h"
#include "base/status.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char who[] = "image_dataset_from_directory";

enum { NO_LABELS, INT_LABELS, CATEGORICAL_LABELS, BINARY_LABELS };
enum { ALL, TRAINING, VALIDATION };

typedef struct settings {
    cJSON *labels, *class_names;
    int label_mode, color_mode, image_size[2], seed, subset, interpolation, data_format;
    double validation_split;
    bool shuffle, follow_links, crop_to_aspect_ratio, pad_to_aspect_ratio, strict;
} settings;

static const cnn_param params[] = {
    CNN_PARAM(JSON, settings, labels, "\"inferred\""),
    CNN_PARAM(CHOICE, settings, label_mode, "\"int\"", .choices = "none int categorical binary",
              .nullable = true),
    CNN_PARAM(JSON, settings, class_names, "null"),
    CNN_PARAM(CHOICE, settings, color_mode, "\"rgb\"", .choices = "grayscale rgb rgba"),
    CNN_PARAM(PAIR, settings, image_size, "256", .low = 1, .high = CNN_IMAGE_MAX_SIDE),
    CNN_PARAM(BOOL, settings, shuffle, "true"),
    CNN_PARAM(INT, settings, seed, "null", .nullable = true),
    CNN_PARAM(FLOAT, settings, validation_split, "null", .nullable = true),
    CNN_PARAM(CHOICE, settings, subset, "null", .choices = "none training validation", .nullable = true),
    CNN_PARAM(CHOICE, settings, interpolation, "\"bilinear\"", .choices = "nearest bilinear bicubic area"),
    CNN_PARAM(BOOL, settings, follow_links, "false"),
    CNN_PARAM(BOOL, settings, crop_to_aspect_ratio, "false"),
    CNN_PARAM(BOOL, settings, pad_to_aspect_ratio, "false"),
    CNN_PARAM(CHOICE, settings, data_format, "null", .choices = "channels_last", .nullable = true),
    CNN_PARAM(BOOL, settings, strict, "false"),
    {0}};

typedef struct pictures {
    cnn_dataset head;
    cnn_listing listing;
    int64_t found;       /* as many as it had before a part was kept */
    cnn_listing classes; /* their names, as paths */
    int label_mode, channels, height, width;
    cnn_interpolation interpolation;
    cnn_aspect aspect;
    bool strict;
} pictures;

/* ---- elements ---------------------------------------------------------------------------------------------- */

static cnn_status make_label(cnn_tensor **out, const pictures *p, int label) {
    int64_t size = p->label_mode == CATEGORICAL_LABELS ? (int64_t)p->classes.count : 1;
    bool is_int = p->label_mode == INT_LABELS;
    CNN_TRY(cnn_tensor_new(out, is_int ? CNN_INT32 : CNN_FLOAT32, is_int ? 0 : 1, &size));
    if (p->label_mode == CATEGORICAL_LABELS)
        cnn_f32(*out)[label] = 1;
    else
        cnn_tensor_set(*out, 0, label);
    return CNN_OK;
}

/* Out of memory or interrupted, a picture may well be whole. */
static bool is_broken(cnn_status status) {
    return status == CNN_ERROR_FORMAT || status == CNN_ERROR_IO;
}

static cnn_status make(cnn_dataset *dataset, cnn_place place, cnn_maker *maker, cnn_element *out) {
    const pictures *p = (pictures *)dataset;
    cnn_picture *picture = &p->listing.pictures[place.position];
    const char *path = cnn_listing_path(&p->listing, picture);
    (void)maker;
    if (__atomic_load_n(&picture->broken, __ATOMIC_RELAXED)) return CNN_OK;
    cnn_status status = cnn_image_load_resized(&out->parts[0], path, p->channels, p->height, p->width,
                                               p->interpolation, p->aspect);
    if (is_broken(status) && !p->strict) {
        if (!__atomic_exchange_n(&picture->broken, 1, __ATOMIC_RELAXED))
            cnn_warn("%s; left out", cnn_error_message());
        return CNN_OK;
    }
    CNN_TRY(status);
    if (p->label_mode != NO_LABELS) CNN_TRY(make_label(&out->parts[1], p, picture->label));
    out->count = p->label_mode == NO_LABELS ? 1 : 2;
    out->name = cnn_strdup(path);
    return out->name ? CNN_OK : cnn_fail_memory(strlen(path));
}

static void close_pictures(cnn_dataset *dataset) {
    pictures *p = (pictures *)dataset;
    cnn_listing_free(&p->listing);
    cnn_listing_free(&p->classes);
}

static const cnn_dataset_class pictures_class = {.is_source = true, .make = make, .close = close_pictures};

/* ---- classes ----------------------------------------------------------------------------------------------- */

static const char *class_name(const pictures *p, size_t label) {
    const char *path = cnn_listing_path(&p->classes, &p->classes.pictures[label]),
               *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Exchanges folder `to` with that of the name, among those from `to` on. */
static cnn_status choose_class(pictures *p, size_t to, const cJSON *name) {
    size_t from = to;
    if (!cJSON_IsString(name))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'class_names' must be a list of strings", who);
    while (from < p->classes.count && strcmp(class_name(p, from), name->valuestring) != 0) from++;
    if (from == p->classes.count)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: 'class_names' must be names of different folders, which '%s' is not", who,
                        name->valuestring);
    cnn_picture chosen = p->classes.pictures[from];
    p->classes.pictures[from] = p->classes.pictures[to];
    p->classes.pictures[to] = chosen;
    return CNN_OK;
}

static cnn_status find_classes(pictures *p, const char *directory, const settings *s) {
    size_t chosen = 0;
    const cJSON *name;
    CNN_TRY(cnn_list_folders(&p->classes, directory));
    cJSON_ArrayForEach(name, s->class_names) CNN_TRY(choose_class(p, chosen++, name));
    if (s->class_names) p->classes.count = chosen;
    if (p->classes.count == 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected folders in %s, one a class, found none", who,
                        directory);
    return CNN_OK;
}

static int compare_labels(const void *left, const void *right) {
    int32_t a = ((const cnn_picture *)left)->label, b = ((const cnn_picture *)right)->label;
    return (a > b) - (a < b);
}

/* Of labels that were given, the different ones are the names. */
static cnn_status name_labels(pictures *p) {
    size_t count = p->listing.count, size = (count + 1) * sizeof(cnn_picture), text = (count + 1) * 12,
           kept = 0;
    cnn_listing *classes = &p->classes;
    classes->pictures = cnn_malloc(size);
    classes->text = cnn_malloc(text);
    if (!classes->pictures || !classes->text) return cnn_fail_memory(size + text);
    memcpy(classes->pictures, p->listing.pictures, count * sizeof(cnn_picture));
    qsort(classes->pictures, count, sizeof(cnn_picture), compare_labels);
    for (size_t i = 0; i < count; i++) {
        cnn_picture *name = &classes->pictures[kept];
        if (kept > 0 && name[-1].label == classes->pictures[i].label) continue;
        *name = classes->pictures[i];
        name->path = 12 * kept++;
        snprintf(classes->text + name->path, 12, "%d", name->label);
    }
    classes->count = kept;
    return CNN_OK;
}

static cnn_status give_labels(pictures *p, const char *directory, const cJSON *labels) {
    size_t i = 0, count = (size_t)cJSON_GetArraySize(labels);
    const cJSON *label;
    if (count != p->listing.count)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: expected as many 'labels' as pictures, got %zu for %zu in %s", who, count,
                        p->listing.count, directory);
    cJSON_ArrayForEach(label, labels) {
        double value = cJSON_IsNumber(label) ? label->valuedouble : NAN;
        if (!(fabs(value) <= INT32_MAX) || value != floor(value))
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "%s: 'labels' must be integers, which that of picture %zu is not", who, i + 1);
        p->listing.pictures[i++].label = (int32_t)value;
    }
    return name_labels(p);
}

/* One-hot and binary labels are positions among the classes. */
static cnn_status check_labels(const pictures *p) {
    size_t count = p->classes.count;
    if (p->label_mode == BINARY_LABELS && count != 2)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: label_mode 'binary' needs 2 classes, found %zu", who, count);
    for (size_t i = 0; i < p->listing.count && p->label_mode > INT_LABELS; i++) {
        int label = p->listing.pictures[i].label;
        if (label < 0 || (size_t)label >= count)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "%s: expected labels from 0 to %zu, as there are %zu classes, got %d", who,
                            count - 1, count, label);
    }
    return CNN_OK;
}

/* ---- listing and splitting --------------------------------------------------------------------------------- */

static cnn_status list_classes(pictures *p, const char *directory, const settings *s) {
    CNN_TRY(find_classes(p, directory, s));
    for (size_t i = 0; i < p->classes.count; i++) {
        const char *path = cnn_listing_path(&p->classes, &p->classes.pictures[i]);
        CNN_TRY(cnn_list_pictures(&p->listing, path, (int)i, s->follow_links));
    }
    return CNN_OK;
}

static cnn_status list(pictures *p, const char *directory, const settings *s) {
    bool given = p->label_mode != NO_LABELS && cJSON_IsArray(s->labels);
    bool inferred = p->label_mode != NO_LABELS && !given;
    CNN_TRY(inferred ? list_classes(p, directory, s)
                     : cnn_list_pictures(&p->listing, directory, 0, s->follow_links));
    size_t folders = inferred ? p->classes.count : 1;
    if (p->listing.count == 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: no pictures (%s) in %zu folder%s of %s", who,
                        CNN_PICTURE_ENDINGS, folders, folders == 1 ? "" : "s", directory);
    if (p->listing.count > INT32_MAX)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: too many pictures in %s", who, directory);
    if (given) CNN_TRY(give_labels(p, directory, s->labels));
    return check_labels(p);
}

/* Keeps those pictures whose place in the order, by chance if they are shuffled, falls into the part. */
static cnn_status keep_part(pictures *p, const settings *s) {
    int32_t count = (int32_t)p->listing.count, kept = 0;
    int32_t training = count - (int32_t)(s->validation_split * count);
    int32_t *rank = cnn_malloc((size_t)count * sizeof *rank);
    if (!rank) return cnn_fail_memory((size_t)count * sizeof *rank);
    cnn_random random = {.key = (uint64_t)s->seed};
    for (int32_t i = 0; i < count; i++) rank[i] = i;
    if (s->shuffle) cnn_random_permutation(&random, rank, count);
    for (int32_t i = 0; i < count; i++)
        if ((rank[i] < training) == (s->subset == TRAINING))
            p->listing.pictures[kept++] = p->listing.pictures[i];
    cnn_free(rank);
    p->listing.count = (size_t)kept;
    if (kept > 0) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: a validation_split of %g leaves nothing of %d pictures for %s",
                    who, s->validation_split, count, s->subset == TRAINING ? "training" : "validation");
}

/* ---- arguments --------------------------------------------------------------------------------------------- */

static cnn_status check_split(const settings *s) {
    if (s->validation_split == 0 || isnan(s->validation_split))
        return s->subset == ALL
                   ? CNN_OK
                   : cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'subset' needs a 'validation_split'", who);
    if (s->validation_split < 0 || s->validation_split >= 1)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'validation_split' must be between 0 and 1, got %g", who,
                        s->validation_split);
    if (s->subset == ALL)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: 'validation_split' needs a 'subset', which is 'training' or 'validation'", who);
    if (s->shuffle && s->seed == INT_MIN)
        return cnn_fail(
            CNN_ERROR_ARGUMENT,
            "%s: 'validation_split' with shuffle = true needs a 'seed', so that the two parts have no "
            "picture in common",
            who);
    return CNN_OK;
}

static cnn_status check_settings(const settings *s) {
    const cJSON *labels = s->labels;
    bool inferred = cJSON_IsString(labels) && strcmp(labels->valuestring, "inferred") == 0;
    if (labels && !inferred && !cJSON_IsArray(labels))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'labels' must be 'inferred', null or a list of integers",
                        who);
    if (s->class_names && !cJSON_IsArray(s->class_names))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'class_names' must be a list of strings", who);
    if (s->class_names && (!inferred || s->label_mode == NO_LABELS))
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: 'class_names' can only be given for 'labels' that are 'inferred'", who);
    if (s->crop_to_aspect_ratio && s->pad_to_aspect_ratio)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: only one of 'crop_to_aspect_ratio' and 'pad_to_aspect_ratio' can be true", who);
    return check_split(s);
}

static void take_settings(pictures *p, const settings *s) {
    static const int channels[] = {1, 3, 4};
    p->label_mode = s->labels ? s->label_mode : NO_LABELS;
    p->channels = channels[s->color_mode];
    p->height = s->image_size[0];
    p->width = s->image_size[1];
    p->interpolation = (cnn_interpolation)s->interpolation;
    p->aspect = s->crop_to_aspect_ratio  ? CNN_ASPECT_CROP
                : s->pad_to_aspect_ratio ? CNN_ASPECT_PAD
                                         : CNN_ASPECT_STRETCH;
    p->strict = s->strict;
}

static cnn_status open_directory(cnn_dataset **out, const char *directory, const settings *s) {
    void *made;
    CNN_TRY(check_settings(s));
    CNN_TRY(cnn_dataset_new(&made, who, &pictures_class, sizeof(pictures), NULL));
    pictures *p = made;
    take_settings(p, s);
    cnn_status status = list(p, directory, s);
    p->found = (int64_t)p->listing.count;
    if (status == CNN_OK && s->subset != ALL) status = keep_part(p, s);
    p->head.cardinality = (int64_t)p->listing.count;
    uint64_t seed = (uint64_t)s->seed;
    if (status == CNN_OK && s->shuffle)
        status = cnn_dataset_shuffle(out, &p->head, 0, s->seed == INT_MIN ? NULL : &seed, true);
    else if (status == CNN_OK)
        *out = cnn_dataset_retain(&p->head);
    cnn_dataset_release(&p->head);
    return status;
}

cnn_status cnn_dataset_from_directory(cnn_dataset **out, const char *directory, const char *config) {
    cJSON *json;
    settings s = {0};
    CNN_TRY(cnn_json_parse(&json, who, config));
    cnn_status status = cnn_params_read(who, params, json, &s);
    if (status == CNN_OK) status = open_directory(out, directory, &s);
    cnn_params_free(params, &s);
    cJSON_Delete(json);
    return status;
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

static const pictures *source_of(const cnn_dataset *dataset) {
    while (dataset->input) dataset = dataset->input;
    return dataset->class == &pictures_class ? (const pictures *)dataset : NULL;
}

int cnn_dataset_class_count(const cnn_dataset *dataset) {
    const pictures *p = source_of(dataset);
    return p ? (int)p->classes.count : 0;
}

const char *cnn_dataset_class_name(const cnn_dataset *dataset, int label) {
    return label >= 0 && label < cnn_dataset_class_count(dataset)
               ? class_name(source_of(dataset), (size_t)label)
               : NULL;
}

int64_t cnn_dataset_file_count(const cnn_dataset *dataset) {
    const pictures *p = source_of(dataset);
    return p ? (int64_t)p->listing.count : 0;
}

int64_t cnn_dataset_found_count(const cnn_dataset *dataset) {
    const pictures *p = source_of(dataset);
    return p ? p->found : 0;
}

const char *cnn_dataset_file(const cnn_dataset *dataset, int64_t index, int *label) {
    if (index < 0 || index >= cnn_dataset_file_count(dataset)) return NULL;
    const pictures *p = source_of(dataset);
    const cnn_picture *picture = &p->listing.pictures[index];
    if (label) *label = picture->label;
    return cnn_listing_path(&p->listing, picture);
}
