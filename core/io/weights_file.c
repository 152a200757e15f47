/* Files of weights alone, and weights out of files of whole models.
 *
 * In safetensors a variable is called by its layer and its name, "conv2d/kernel"; a name that comes again, of layers in
 * different models within, is numbered, "conv2d/kernel_1". */
#include "io/keras_weights.h"
#include "io/keras_file.h"
#include "io/weight_list.h"
#include "train/trainer.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

/* ---- names of variables ---------------------------------------------------------------------------------- */

/* The model's variables, each once, with their names; borrowed tensors, owned names. */
typedef struct named_variables {
    int count;
    cnn_named_tensor *items;
    char **names;
} named_variables;

static void free_named(named_variables *list) {
    cnn_names_free(list->names, list->count);
    cnn_free(list->items);
}

static cnn_status add_names(named_variables *list, const cnn_weight_list *weights) {
    size_t count = (size_t)weights->count;
    list->items = cnn_malloc(count * sizeof *list->items);
    list->names = cnn_malloc(count * sizeof *list->names);
    if (!list->items || !list->names) return cnn_fail_memory(count * sizeof *list->items);
    for (; list->count < weights->count; list->count++) {
        const cnn_weight *weight = &weights->items[list->count];
        char **name = &list->names[list->count];
        CNN_TRY(cnn_weight_name(name, list->names, list->count, weight, "", ""));
        list->items[list->count] = (cnn_named_tensor){*name, weight->variable->value};
    }
    return CNN_OK;
}

static cnn_status name_variables(named_variables *list, const cnn_model *model) {
    cnn_weight_list weights = {0};
    *list = (named_variables){0};
    cnn_status status = cnn_weight_list_add(&weights, &model->layer);
    if (status == CNN_OK) status = add_names(list, &weights);
    cnn_weight_list_free(&weights);
    if (status != CNN_OK) free_named(list);
    return status;
}

/* ---- safetensors ----------------------------------------------------------------------------------------- */

static cnn_status save_safetensors(const cnn_model *model, const char *path) {
    named_variables list;
    CNN_TRY(name_variables(&list, model));
    cnn_status status = cnn_safetensors_save(path, list.items, list.count);
    free_named(&list);
    return status;
}

/* A name in parts: "conv2d_3/kernel" is variable "kernel" of the layer numbered 3 of those called "conv2d". Names that
 * layers got by themselves count on from model to model, so what tells in another model is which it is of them. */
typedef struct place {
    size_t base; /* length of the layer's name without its number */
    long number; /* 0 where there is none */
    const char *variable;
} place;

static place place_of(const char *name) {
    const char *slash = strrchr(name, '/'), *end = slash ? slash : name, *digits = end;
    while (digits > name && digits[-1] >= '0' && digits[-1] <= '9') digits--;
    bool numbered = digits < end && end - digits < 10 && digits > name + 1 && digits[-1] == '_';
    return (place){.base = (size_t)((numbered ? digits - 1 : end) - name),
                   .number = numbered ? strtol(digits, NULL, 10) : 0,
                   .variable = end};
}

static int compare_kinds(const char *a, const char *b) {
    place p = place_of(a), q = place_of(b);
    int order = memcmp(a, b, p.base < q.base ? p.base : q.base);
    if (order == 0) order = (p.base > q.base) - (p.base < q.base);
    return order ? order : strcmp(p.variable, q.variable);
}

static int compare_places(const void *a, const void *b) {
    const char *x = (*(cnn_named_tensor *const *)a)->name, *y = (*(cnn_named_tensor *const *)b)->name;
    long p = place_of(x).number, q = place_of(y).number;
    int order = compare_kinds(x, y);
    if (order == 0) order = (p > q) - (p < q);
    return order ? order : strcmp(x, y);
}

/* Kind by kind, each in the order of its numbers (cnn_free). */
static cnn_status sort_by_place(const cnn_named_tensor ***out, const cnn_named_tensor *tensors, int count) {
    const cnn_named_tensor **sorted = cnn_malloc((size_t)count * sizeof *sorted);
    if (!sorted) return cnn_fail_memory((size_t)count * sizeof *sorted);
    for (int i = 0; i < count; i++) sorted[i] = &tensors[i];
    qsort(sorted, (size_t)count, sizeof *sorted, compare_places);
    *out = sorted;
    return CNN_OK;
}

static cnn_tensor *find_tensor(const cnn_named_tensor *tensors, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0) return tensors[i].tensor;
    return NULL;
}

/* For each variable the tensor of the file, NULL where there is none: of its name, … */
static void find_by_name(cnn_tensor **found, const named_variables *list, const cnn_named_tensor *tensors,
                         int count) {
    for (int i = 0; i < list->count; i++) found[i] = find_tensor(tensors, count, list->items[i].name);
}

/* … or, the first of a kind for the first of it, the second for the second, in its place. */
static cnn_status find_by_place(cnn_tensor **found, const named_variables *list,
                                const cnn_named_tensor *tensors, int count) {
    const cnn_named_tensor **ours = NULL, **theirs = NULL;
    cnn_status status = sort_by_place(&ours, list->items, list->count);
    if (status == CNN_OK) status = sort_by_place(&theirs, tensors, count);
    for (int i = 0, k = 0; status == CNN_OK && i < list->count; i++) {
        while (k < count && compare_kinds(theirs[k]->name, ours[i]->name) < 0) k++;
        bool there = k < count && compare_kinds(theirs[k]->name, ours[i]->name) == 0;
        found[ours[i] - list->items] = there ? theirs[k++]->tensor : NULL;
    }
    cnn_free(ours);
    cnn_free(theirs);
    return status;
}

static bool all_named(const named_variables *list, const cnn_named_tensor *tensors, int count) {
    for (int i = 0; i < list->count; i++)
        if (!find_tensor(tensors, count, list->items[i].name)) return false;
    return true;
}

/* The file's tensor for a variable, or NULL where the variable stays as it is. */
static cnn_status match(cnn_tensor **out, const cnn_named_tensor *variable, cnn_tensor *found,
                        const cnn_weights_options *options, cnn_text *notes) {
    char here[CNN_SHAPE_TEXT], there[CNN_SHAPE_TEXT];
    *out = NULL;
    if (!found && options->by_name) return CNN_OK;
    if (!found) return cnn_fail(CNN_ERROR_ARGUMENT, "the file has no '%s'", variable->name);
    if (cnn_same_shape(found, variable->tensor)) return cnn_cast(out, found, CNN_FLOAT32);
    cnn_shape_text(here, sizeof here, variable->tensor->rank, variable->tensor->shape);
    cnn_shape_text(there, sizeof there, found->rank, found->shape);
    if (!options->skip_mismatch)
        return cnn_fail(CNN_ERROR_SHAPE, "'%s' has shape %s, in the file %s", variable->name, here, there);
    cnn_text_add(notes, "'%s' is left as it was: it has shape %s, in the file %s\n", variable->name, here,
                 there);
    return CNN_OK;
}

static cnn_status find_tensors(cnn_tensor **found, const named_variables *list,
                               const cnn_named_tensor *tensors, int count, bool by_name) {
    if (!by_name && count != list->count)
        return cnn_fail(
            CNN_ERROR_ARGUMENT,
            "the file has %d tensors, the model %d variables (by_name takes those of the same name)", count,
            list->count);
    if (!by_name && !all_named(list, tensors, count)) return find_by_place(found, list, tensors, count);
    find_by_name(found, list, tensors, count);
    return CNN_OK;
}

/* All is looked at, and cast, before anything changes: sources has room for one tensor for each variable. */
static cnn_status find_sources(cnn_tensor **sources, const named_variables *list,
                               const cnn_named_tensor *tensors, int count, const cnn_weights_options *options,
                               cnn_text *notes) {
    cnn_tensor **found = cnn_malloc((size_t)list->count * sizeof *found);
    if (!found) return cnn_fail_memory((size_t)list->count * sizeof *found);
    cnn_status status = find_tensors(found, list, tensors, count, options->by_name);
    for (int i = 0; status == CNN_OK && i < list->count; i++)
        status = match(&sources[i], &list->items[i], found[i], options, notes);
    cnn_free(found);
    return status;
}

static cnn_status set_variables(const named_variables *list, const cnn_named_tensor *tensors, int count,
                                const cnn_weights_options *options, cnn_text *notes) {
    size_t bytes = (size_t)list->count * sizeof(cnn_tensor *);
    cnn_tensor **sources = cnn_calloc(bytes);
    if (!sources) return cnn_fail_memory(bytes);
    cnn_status status = find_sources(sources, list, tensors, count, options, notes);
    for (int i = 0; i < list->count; i++) {
        cnn_tensor *value = list->items[i].tensor;
        if (status == CNN_OK && sources[i]) {
            memcpy(value->data, sources[i]->data, cnn_tensor_bytes(value));
            value->version++;
        }
        cnn_tensor_release(sources[i]);
    }
    cnn_free(sources);
    return status;
}

static cnn_status load_safetensors(cnn_model *model, const char *path, const cnn_weights_options *options,
                                   cnn_text *notes) {
    cnn_named_tensor *tensors;
    named_variables list;
    int count;
    CNN_TRY(cnn_safetensors_load(&tensors, &count, path));
    cnn_status status = name_variables(&list, model);
    if (status == CNN_OK) {
        status = set_variables(&list, tensors, count, options, notes);
        free_named(&list);
    }
    cnn_named_tensors_free(tensors, count);
    cnn_trainer_touch_weights(model);
    return status;
}

/* ---- HDF5 ------------------------------------------------------------------------------------------------ */

static cnn_status save_hdf5(const cnn_model *model, const char *path, cnn_weights_form form) {
    cnn_h5_node *root;
    CNN_TRY(cnn_h5_new(&root));
    cnn_status status = cnn_weights_write(root, model, form);
    if (status == CNN_OK) status = cnn_h5_write(root, path);
    cnn_h5_free(root);
    return status;
}

static cnn_status read_archive(cnn_h5_node **root, const char *path) {
    cnn_archive *archive;
    void *bytes;
    size_t size;
    CNN_TRY(cnn_archive_open(&archive, path));
    cnn_status status = cnn_keras_member(&bytes, &size, archive, path, CNN_WEIGHTS_MEMBER);
    if (status == CNN_OK) {
        status = cnn_h5_read_bytes(root, path, bytes, size);
        cnn_free(bytes);
    }
    cnn_archive_close(archive);
    return status;
}

static cnn_status load_hdf5(cnn_model *model, const char *path, bool is_archive,
                            const cnn_weights_options *options, cnn_text *notes) {
    cnn_h5_node *root;
    CNN_TRY(is_archive ? read_archive(&root, path) : cnn_h5_read(&root, path));
    cnn_status status = cnn_weights_read(model, root, options, notes);
    cnn_h5_free(root);
    return status;
}

/* ---- by name and content --------------------------------------------------------------------------------- */

static cnn_status save_by_name(const cnn_model *model, const char *path) {
    if (cnn_name_ends_in(path, ".safetensors")) return save_safetensors(model, path);
    if (cnn_name_ends_in(path, ".weights.h5")) return save_hdf5(model, path, CNN_WEIGHTS_KERAS_3);
    if (cnn_name_ends_in(path, ".h5") || cnn_name_ends_in(path, ".hdf5"))
        return save_hdf5(model, path, CNN_WEIGHTS_KERAS_2);
    return cnn_fail(CNN_ERROR_ARGUMENT,
                    "the name must end in .weights.h5, .h5, .hdf5 or .safetensors, got %s", path);
}

cnn_status cnn_model_save_weights(cnn_model *model, const char *path) {
    CNN_TRY(cnn_model_expect_built(model, "save_weights"));
    cnn_status status = save_by_name(model, path);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "save_weights");
}

static cnn_status load_by_content(cnn_model *model, const char *path, const cnn_weights_options *options,
                                  cnn_text *notes) {
    cnn_file_kind kind = CNN_KIND_OTHER;
    CNN_TRY(cnn_file_kind_of(&kind, path));
    if (kind == CNN_KIND_OTHER)
        return cnn_fail(CNN_ERROR_FORMAT, "%s is no file of weights: neither HDF5 nor .keras nor safetensors",
                        path);
    cnn_status status = kind == CNN_KIND_SAFETENSORS
                            ? load_safetensors(model, path, options, notes)
                            : load_hdf5(model, path, kind == CNN_KIND_ARCHIVE, options, notes);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, path);
}

cnn_status cnn_model_load_weights(cnn_model *model, const char *path, bool by_name, bool skip_mismatch,
                                  char **notes) {
    const cnn_weights_options options = {.by_name = by_name, .skip_mismatch = skip_mismatch};
    cnn_text text = {0};
    CNN_TRY(cnn_model_expect_built(model, "load_weights"));
    cnn_status status = load_by_content(model, path, &options, &text);
    if (status != CNN_OK) status = cnn_fail_in(status, "load_weights");
    return cnn_hand_over_notes(&text, notes, status);
}
