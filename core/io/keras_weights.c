/* The weights of models in HDF5 trees; see keras_weights.h.
 *
 * Reading is in two steps: every weight of the model is first paired with a tensor of the file, and all shapes are
 * checked; then the tensors are copied, which cannot fail. Nothing in a tree is taken for granted but that its pointers
 * lead somewhere: lists may be of numbers, datasets of strings, groups missing. */
#include "io/keras_weights.h"
#include "io/weight_list.h"
#include "model/graph.h"
#include "train/trainer.h"
#include "base/memory.h"
#include "base/status.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- where Keras 3 puts a layer -------------------------------------------------------------------------- */

/* A layer that several models share is in the file once: in the model where a walk over all layers first meets it. */
typedef struct home {
    const cnn_model *model;
    const cnn_layer *layer;
} home;

typedef struct home_list {
    home *items;
    int count, capacity;
} home_list;

static bool has_home(const home_list *homes, const cnn_layer *layer) {
    for (int i = 0; i < homes->count; i++)
        if (homes->items[i].layer == layer) return true;
    return false;
}

static cnn_status find_homes(home_list *homes, const cnn_model *model) {
    for (int i = 0; i < model->layer_count; i++) {
        const cnn_layer *layer = model->layers[i];
        if (has_home(homes, layer)) continue;
        CNN_TRY(cnn_list_grow((void **)&homes->items, homes->count, &homes->capacity, sizeof *homes->items));
        homes->items[homes->count++] = (home){model, layer};
        if (cnn_layer_is_model(layer)) CNN_TRY(find_homes(homes, (const cnn_model *)layer));
    }
    return CNN_OK;
}

static bool at_home(const home_list *homes, const cnn_model *model, const cnn_layer *layer) {
    for (int i = 0; i < homes->count; i++)
        if (homes->items[i].layer == layer) return homes->items[i].model == model;
    return false;
}

/* Whether the i-th layer's place in the file is to hold weights. */
static bool owns_weights(const home_list *homes, const cnn_model *model, int i) {
    const cnn_layer *layer = model->layers[i];
    if (!at_home(homes, model, layer)) return false;
    if (!cnn_layer_is_model(layer)) return layer->variable_count > 0;
    const cnn_model *within = (const cnn_model *)layer;
    for (int j = 0; j < within->layer_count; j++)
        if (owns_weights(homes, within, j)) return true;
    return false;
}

enum { CLASS_TEXT = 96 };

/* The layer's group: its class, numbered from the second of the class on, whatever its name is. */
static void class_path(char *out, size_t capacity, const cnn_model *model, int i) {
    int before = 0;
    for (int j = 0; j < i; j++)
        before += strcmp(model->layers[j]->class->name, model->layers[i]->class->name) == 0;
    cnn_snake_case(out, capacity - 12, model->layers[i]->class->name);
    size_t length = strlen(out);
    if (before > 0) snprintf(out + length, capacity - length, "_%d", before);
}

/* ---- writing --------------------------------------------------------------------------------------------- */

static cnn_status write_weights_2(cnn_h5_node *group, const cnn_weight_list *list, char **names) {
    for (int i = 0; i < list->count; i++) {
        CNN_TRY(cnn_weight_name(&names[i], names, i, &list->items[i], "", ":0"));
        CNN_TRY(cnn_h5_add_tensor(group, names[i], list->items[i].variable->value));
    }
    return cnn_h5_set_list(group, "weight_names", (const char *const *)names, list->count);
}

/* Keras's order within a layer, and over all the layers of a model within: first what is being trained. */
static cnn_status write_layer_2(cnn_h5_node *file, const cnn_layer *layer) {
    cnn_h5_node *group;
    CNN_TRY(cnn_h5_group(&group, file, layer->name));
    cnn_weight_list list = {0};
    cnn_status status = cnn_weight_list_add(&list, layer);
    if (status == CNN_OK) status = cnn_weight_list_sort(&list, cnn_weight_is_trained);
    char **names = cnn_calloc((size_t)list.count * sizeof *names);
    if (status == CNN_OK && !names) status = cnn_fail_memory((size_t)list.count * sizeof *names);
    if (status == CNN_OK) status = write_weights_2(group, &list, names);
    cnn_names_free(names, list.count);
    cnn_weight_list_free(&list);
    return status;
}

static cnn_status write_layer_names(cnn_h5_node *group, const cnn_model *model) {
    size_t bytes = (size_t)model->layer_count * sizeof(char *);
    const char **names = cnn_malloc(bytes);
    if (!names) return cnn_fail_memory(bytes);
    for (int i = 0; i < model->layer_count; i++) names[i] = model->layers[i]->name;
    cnn_status status = cnn_h5_set_list(group, "layer_names", names, model->layer_count);
    cnn_free(names);
    return status;
}

static cnn_status write_2(cnn_h5_node *group, const cnn_model *model) {
    cnn_h5_node *top;
    CNN_TRY(write_layer_names(group, model));
    CNN_TRY(cnn_h5_set_text(group, "backend", "tensorflow"));
    CNN_TRY(cnn_h5_set_text(group, "keras_version", CNN_KERAS_VERSION_2));
    for (int i = 0; i < model->layer_count; i++) CNN_TRY(write_layer_2(group, model->layers[i]));
    CNN_TRY(cnn_h5_group(&top, group, "top_level_model_weights"));
    return cnn_h5_set_list(top, "weight_names", NULL, 0);
}

static cnn_status write_vars(cnn_h5_node *vars, const cnn_layer *layer) {
    cnn_weight_list list = {0};
    cnn_status status = cnn_weight_list_add(&list, layer);
    if (status == CNN_OK) status = cnn_weight_list_sort(&list, cnn_weight_is_trainable);
    for (int i = 0; status == CNN_OK && i < list.count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        status = cnn_h5_add_tensor(vars, number, list.items[i].variable->value);
    }
    cnn_weight_list_free(&list);
    return status;
}

static cnn_status write_layers(cnn_h5_node *group, const home_list *homes, const cnn_model *model) {
    cnn_h5_node *layers, *place, *vars;
    CNN_TRY(cnn_h5_group(&layers, group, "layers"));
    for (int i = 0; i < model->layer_count; i++) {
        const cnn_layer *layer = model->layers[i];
        char path[CLASS_TEXT];
        if (!at_home(homes, model, layer)) continue;
        class_path(path, sizeof path, model, i);
        CNN_TRY(cnn_h5_group(&place, layers, path));
        CNN_TRY(cnn_h5_group(&vars, place, "vars"));
        CNN_TRY(cnn_h5_set_text(vars, "name", layer->name));
        if (cnn_layer_is_model(layer))
            CNN_TRY(write_layers(place, homes, (const cnn_model *)layer));
        else
            CNN_TRY(write_vars(vars, layer));
    }
    return CNN_OK;
}

static cnn_status write_3(cnn_h5_node *root, const cnn_model *model) {
    cnn_h5_node *vars;
    CNN_TRY(cnn_h5_group(&vars, root, "vars"));
    CNN_TRY(cnn_h5_set_text(vars, "name", model->layer.name));
    home_list homes = {0};
    cnn_status status = find_homes(&homes, model);
    if (status == CNN_OK) status = write_layers(root, &homes, model);
    cnn_free(homes.items);
    return status;
}

cnn_status cnn_weights_write(cnn_h5_node *group, const cnn_model *model, cnn_weights_form form) {
    CNN_TRY(cnn_model_expect_built(model, "save_weights"));
    return form == CNN_WEIGHTS_KERAS_3 ? write_3(group, model) : write_2(group, model);
}

/* ---- reading: one layer ---------------------------------------------------------------------------------- */

typedef struct copy {
    cnn_variable *to;
    const cnn_tensor *from;
} copy;

typedef struct reading {
    const cnn_weights_options *options;
    cnn_text *notes;
    cnn_h5_node *straight; /* the file's tree with other paths, where it needed that; else NULL */
    home_list homes;
    copy *copies;
    int count, capacity;
} reading;

/* What the file has for one layer. */
typedef struct saved_layer {
    const char *name;
    int count, capacity;
    struct saved_weight {
        const char *name; /* "" where the file's form has none */
        const cnn_tensor *value;
    } * weights;
} saved_layer;

static cnn_status damaged(const char *what, const char *name) {
    return cnn_fail(CNN_ERROR_FORMAT, "the file is damaged: %s '%.200s' is missing", what, name);
}

/* A weight's numbers, or NULL. Whole numbers are no weights: Keras counts things in them and keeps the states of random
 * generators. */
static const cnn_tensor *floats_of(const cnn_h5_node *node) {
    if (!node || !node->value || node->value->type != CNN_H5_FLOAT32) return NULL;
    return node->value->tensor;
}

static cnn_status add_saved(saved_layer *saved, const char *name, const cnn_h5_node *node) {
    if (!floats_of(node)) return CNN_OK;
    CNN_TRY(cnn_list_grow((void **)&saved->weights, saved->count, &saved->capacity, sizeof *saved->weights));
    saved->weights[saved->count++] = (struct saved_weight){name, floats_of(node)};
    return CNN_OK;
}

static bool same_shape(const cnn_tensor *a, const cnn_tensor *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* The length of a name without what follows the last colon: "conv2d/kernel:0". */
static size_t name_length(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon ? (size_t)(colon - name) : strlen(name);
}

/* Whether the name's last part is `part`, and the one before it, unless NULL, is `owner`. */
static bool name_ends(const char *name, const char *owner, const char *part) {
    size_t length = name_length(name), tail = strlen(part);
    if (length < tail || memcmp(name + length - tail, part, tail) != 0) return false;
    length -= tail;
    if (length > 0 && name[--length] != '/') return false;
    return !owner ||
           (length >= strlen(owner) && memcmp(name + length - strlen(owner), owner, strlen(owner)) == 0 &&
            (length == strlen(owner) || name[length - strlen(owner) - 1] == '/'));
}

static bool fits(const cnn_weight_list *list, const saved_layer *saved, bool by_names) {
    for (int i = 0; i < list->count; i++) {
        const cnn_variable *variable = list->items[i].variable;
        if (!same_shape(variable->value, saved->weights[i].value)) return false;
        if (by_names && !name_ends(saved->weights[i].name, NULL, variable->name)) return false;
    }
    return true;
}

/* The one weight that the name is of; NULL if there is none, or several. */
static const cnn_weight *named_weight(const cnn_weight_list *list, const char *name) {
    const cnn_weight *found = NULL;
    for (int i = 0; i < list->count; i++) {
        if (!name_ends(name, list->items[i].layer->name, list->items[i].variable->name)) continue;
        if (found) return NULL;
        found = &list->items[i];
    }
    return found;
}

/* Puts the weights into the order of the file's names, where these leave no doubt; else leaves them. */
static cnn_status sort_by_names(cnn_weight_list *list, const saved_layer *saved) {
    cnn_weight_list sorted = {0};
    size_t bytes = (size_t)list->count * sizeof *sorted.items;
    if (!(sorted.items = cnn_malloc(bytes))) return cnn_fail_memory(bytes);
    for (int i = 0; i < saved->count; i++) {
        const cnn_weight *weight = named_weight(list, saved->weights[i].name);
        for (int j = 0; weight && j < i; j++)
            if (sorted.items[j].variable == weight->variable) weight = NULL;
        if (!weight) {
            cnn_free(sorted.items);
            return CNN_OK;
        }
        sorted.items[sorted.count++] = *weight;
    }
    sorted.capacity = sorted.count;
    cnn_weight_list_free(list);
    *list = sorted;
    return CNN_OK;
}

static bool in_order_of_layers(const cnn_variable *variable) {
    (void)variable;
    return true;
}

/* Finds the order in which the layer's weights, as many as the file's, are in the file. Those of a model within come
 * with what was being trained first, and what was frozen then may be another matter than what is now. */
static cnn_status find_order(bool *found, cnn_weight_list *list, const cnn_layer *layer,
                             const saved_layer *saved) {
    static cnn_weight_test *const orders[] = {cnn_weight_is_trained, cnn_weight_is_trainable,
                                              in_order_of_layers};
    const int order_count = (int)(sizeof orders / sizeof *orders);
    CNN_TRY(sort_by_names(list, saved));
    if ((*found = fits(list, saved, true))) return CNN_OK;
    for (int i = 0; i < 2 * order_count; i++) {
        cnn_weight_list_free(list);
        CNN_TRY(cnn_weight_list_add(list, layer));
        CNN_TRY(cnn_weight_list_sort(list, orders[i % order_count]));
        if ((*found = fits(list, saved, i < order_count))) return CNN_OK;
    }
    return CNN_OK;
}

enum { SHAPES_TEXT = 256 };

/* Puts one more shape behind those in the buffer, or "…" once, when there is no room. */
static void append_shape(char *buffer, const cnn_tensor *tensor) {
    char shape[CNN_SHAPE_TEXT];
    size_t used = strlen(buffer);
    cnn_shape_text(shape, sizeof shape, tensor->rank, tensor->shape);
    const char *comma = used > 0 ? ", " : "";
    if (used + strlen(shape) + 8 < SHAPES_TEXT)
        snprintf(buffer + used, SHAPES_TEXT - used, "%s%s", comma, shape);
    else if (used < 3 || strcmp(buffer + used - 3, "…") != 0)
        snprintf(buffer + used, SHAPES_TEXT - used, "%s…", comma);
}

/* What does not fit is skipped, where that is asked for, or an error. */
static cnn_status mismatch(reading *r, const cnn_layer *layer, const cnn_weight_list *list,
                           const saved_layer *saved) {
    char wanted[SHAPES_TEXT] = "", came[SHAPES_TEXT] = "", text[2 * SHAPES_TEXT + 320];
    for (int i = 0; i < list->count; i++) append_shape(wanted, list->items[i].variable->value);
    for (int i = 0; i < saved->count; i++) append_shape(came, saved->weights[i].value);
    snprintf(text, sizeof text, "layer '%.100s' expects weights of shapes [%s], the file's '%.100s' has [%s]",
             layer->name, wanted, saved->name, came);
    if (!r->options->skip_mismatch) return cnn_fail(CNN_ERROR_SHAPE, "%s", text);
    cnn_text_add(r->notes, "skipped: %s\n", text);
    return CNN_OK;
}

static cnn_status take(reading *r, const cnn_weight_list *list, const saved_layer *saved) {
    for (int i = 0; i < list->count; i++) {
        CNN_TRY(cnn_list_grow((void **)&r->copies, r->count, &r->capacity, sizeof *r->copies));
        r->copies[r->count++] = (copy){list->items[i].variable, saved->weights[i].value};
    }
    return CNN_OK;
}

static cnn_status read_layer(reading *r, const cnn_layer *layer, const saved_layer *saved) {
    bool found = false;
    cnn_weight_list list = {0};
    cnn_status status = cnn_weight_list_add(&list, layer);
    if (status == CNN_OK && list.count == saved->count) status = find_order(&found, &list, layer, saved);
    if (status == CNN_OK) status = found ? take(r, &list, saved) : mismatch(r, layer, &list, saved);
    cnn_weight_list_free(&list);
    return status;
}

static cnn_status expect_layer_count(int in_file, int in_model) {
    if (in_file == in_model) return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE,
                    "the file has weights for %d layers, the model has %d layers with weights", in_file,
                    in_model);
}

/* ---- reading: Keras 2's form ----------------------------------------------------------------------------- */

typedef struct saved_list {
    saved_layer *items;
    int count, capacity;
} saved_list;

static void free_saved(saved_list *file) {
    for (int i = 0; i < file->count; i++) cnn_free(file->items[i].weights);
    cnn_free(file->items);
}

static cnn_status list_weights_2(saved_layer *saved, const cnn_h5_node *group) {
    char *const *names;
    int count;
    CNN_TRY(cnn_listed_names(&names, &count, group, "weight_names"));
    for (int i = 0; i < count; i++) {
        const cnn_h5_node *node = cnn_h5_find(group, names[i]);
        if (!node || !node->value) return damaged("the weight", names[i]);
        CNN_TRY(add_saved(saved, names[i], node));
    }
    return CNN_OK;
}

/* The layers of the file in their order; those without weights too. */
static cnn_status list_layers_2(saved_list *file, const cnn_h5_node *group) {
    char *const *names;
    int count;
    CNN_TRY(cnn_listed_names(&names, &count, group, "layer_names"));
    for (int i = 0; i < count; i++) {
        const cnn_h5_node *node = cnn_h5_find(group, names[i]);
        if (!node) return damaged("the layer", names[i]);
        CNN_TRY(cnn_list_grow((void **)&file->items, file->count, &file->capacity, sizeof *file->items));
        file->items[file->count++] = (saved_layer){.name = names[i]};
        CNN_TRY(list_weights_2(&file->items[file->count - 1], node));
    }
    return CNN_OK;
}

/* The one layer with weights that has the name; NULL if there is none, or several. */
static const saved_layer *saved_by_name(const saved_list *file, const char *name) {
    const saved_layer *found = NULL;
    for (int i = 0; i < file->count; i++) {
        if (file->items[i].count == 0 || strcmp(file->items[i].name, name) != 0) continue;
        if (found) return NULL;
        found = &file->items[i];
    }
    return found;
}

static cnn_status read_by_name_2(reading *r, const cnn_model *model, const saved_list *file) {
    for (int i = 0; i < model->layer_count; i++) {
        const cnn_layer *layer = model->layers[i];
        const saved_layer *saved = saved_by_name(file, layer->name);
        if (saved && cnn_has_weights(layer)) CNN_TRY(read_layer(r, layer, saved));
    }
    return CNN_OK;
}

/* The layers with weights go together in their order; by their names if these are the same in both, for the order of
 * parallel branches is nobody's word. */
static cnn_status read_in_order_2(reading *r, const cnn_model *model, const saved_list *file) {
    int in_file = 0, in_model = 0, next = 0;
    bool same_names = true;
    for (int i = 0; i < file->count; i++) in_file += file->items[i].count > 0;
    for (int i = 0; i < model->layer_count; i++) {
        if (!cnn_has_weights(model->layers[i])) continue;
        in_model++;
        if (!saved_by_name(file, model->layers[i]->name)) same_names = false;
    }
    CNN_TRY(expect_layer_count(in_file, in_model));
    if (same_names) return read_by_name_2(r, model, file);
    for (int i = 0; i < model->layer_count; i++) {
        if (!cnn_has_weights(model->layers[i])) continue;
        while (file->items[next].count == 0) next++;
        CNN_TRY(read_layer(r, model->layers[i], &file->items[next++]));
    }
    return CNN_OK;
}

static cnn_status read_2(reading *r, const cnn_model *model, const cnn_h5_node *group) {
    saved_list file = {0};
    const char *backend = cnn_h5_text(group, "backend");
    if (backend && strcmp(backend, "theano") == 0)
        cnn_text_add(r->notes, "the weights are those of Keras on Theano, which flips the kernels of "
                               "convolutions: results will differ\n");
    cnn_status status = list_layers_2(&file, group);
    if (status == CNN_OK)
        status = r->options->by_name ? read_by_name_2(r, model, &file) : read_in_order_2(r, model, &file);
    free_saved(&file);
    return status;
}

/* ---- reading: Keras 3's form ----------------------------------------------------------------------------- */

enum { DEEPEST = 64 };

/* "12" → 12; -1 of anything else. */
static long number_of(const char *text) {
    char *end;
    if (!text || *text < '0' || *text > '9') return -1;
    long number = strtol(text, &end, 10);
    return *end ? -1 : number;
}

/* The group with the layers of a model; Keras 2.12 and 2.13 had another name for it. */
static const cnn_h5_node *layers_of(const cnn_h5_node *group) {
    const cnn_h5_node *layers = cnn_h5_find(group, "layers");
    return layers ? layers : cnn_h5_find(group, "_layer_checkpoint_dependencies");
}

/* The datasets "0", "1", … in the order of their numbers. */
static cnn_status list_weights_3(saved_layer *saved, const cnn_h5_node *vars) {
    size_t bytes = (size_t)vars->child_count * sizeof(cnn_h5_node *);
    const cnn_h5_node **nodes = cnn_calloc(bytes);
    if (!nodes) return cnn_fail_memory(bytes);
    for (int i = 0; i < vars->child_count; i++) {
        long number = number_of(vars->children[i]->name);
        if (number >= 0 && number < vars->child_count) nodes[number] = vars->children[i];
    }
    cnn_status status = CNN_OK;
    for (int i = 0; status == CNN_OK && i < vars->child_count; i++)
        status = nodes[i] ? add_saved(saved, "", nodes[i]) : damaged("a weight of the layer", saved->name);
    cnn_free(nodes);
    return status;
}

static bool group_has_weights(const cnn_h5_node *group, int depth) {
    const cnn_h5_node *vars = cnn_h5_find(group, "vars"), *layers = layers_of(group);
    for (int i = 0; vars && i < vars->child_count; i++)
        if (floats_of(vars->children[i])) return true;
    for (int i = 0; layers && depth < DEEPEST && i < layers->child_count; i++)
        if (group_has_weights(layers->children[i], depth + 1)) return true;
    return false;
}

static const char *group_layer_name(const cnn_h5_node *group) {
    const cnn_h5_node *vars = cnn_h5_find(group, "vars");
    return vars ? cnn_h5_text(vars, "name") : NULL;
}

/* How the i-th layer's group is found among those of its model, NULL if it is not there; before: those of the layers
 * before it. */
typedef const cnn_h5_node *group_finder(const cnn_h5_node *layers, const cnn_model *model, int i,
                                        const cnn_h5_node *const *before);

/* By the name that Keras notes there since 3.6. */
static const cnn_h5_node *group_by_name(const cnn_h5_node *layers, const cnn_model *model, int i,
                                        const cnn_h5_node *const *before) {
    (void)before;
    for (int j = 0; j < layers->child_count; j++) {
        const cnn_h5_node *group = layers->children[j];
        const char *name = group_layer_name(group);
        if (name && strcmp(name, model->layers[i]->name) == 0 && group_has_weights(group, 0)) return group;
    }
    return NULL;
}

static const cnn_h5_node *group_by_number(const cnn_h5_node *layers, const cnn_model *model, int i,
                                          const cnn_h5_node *const *before) {
    char path[CLASS_TEXT];
    (void)before;
    class_path(path, sizeof path, model, i);
    const cnn_h5_node *group = cnn_h5_find(layers, path);
    return group && group_has_weights(group, 0) ? group : NULL;
}

/* The number behind the class in a group's name, 0 if there is none; -1 if the group is of another class or has no
 * weights. */
static long class_number(const cnn_h5_node *group, const char *base) {
    size_t length = strlen(base);
    if (!group->name || strncmp(group->name, base, length) != 0) return -1;
    const char *rest = group->name + length;
    long number = !*rest ? 0 : *rest == '_' ? number_of(rest + 1) : -1;
    return number >= 0 && group_has_weights(group, 0) ? number : -1;
}

/* The first layer of the class that has weights goes to the first such group, and so on: the numbers of
 * "_layer_checkpoint_dependencies" have gaps, as layers with weights were counted twice. */
static const cnn_h5_node *group_by_rank(const cnn_h5_node *layers, const cnn_model *model, int i,
                                        const cnn_h5_node *const *before) {
    const char *class = model->layers[i]->class->name;
    const cnn_h5_node *found = NULL;
    char base[CLASS_TEXT];
    long last = -1, next = LONG_MAX;
    cnn_snake_case(base, sizeof base, class);
    for (int j = i - 1; j >= 0 && last < 0; j--)
        if (before[j] && strcmp(model->layers[j]->class->name, class) == 0)
            last = class_number(before[j], base);
    for (int j = 0; j < layers->child_count; j++) {
        long number = class_number(layers->children[j], base);
        if (number <= last || number >= next) continue;
        next = number;
        found = layers->children[j];
    }
    return found;
}

/* Fills groups with one for each layer that owns weights; true if all are found. */
static bool find_groups(const cnn_h5_node **groups, group_finder *find, const reading *r,
                        const cnn_h5_node *layers, const cnn_model *model) {
    bool all = true;
    for (int i = 0; i < model->layer_count; i++) {
        bool owns = owns_weights(&r->homes, model, i);
        groups[i] = owns ? find(layers, model, i, groups) : NULL;
        all = all && (groups[i] || !owns);
    }
    return all;
}

static void find_any_groups(const cnn_h5_node **groups, const reading *r, const cnn_h5_node *layers,
                            const cnn_model *model) {
    if (!find_groups(groups, group_by_name, r, layers, model) &&
        !find_groups(groups, group_by_number, r, layers, model) &&
        !find_groups(groups, group_by_rank, r, layers, model))
        find_groups(groups, group_by_number, r, layers, model);
}

static cnn_status check_count_3(const reading *r, const cnn_h5_node *layers, const cnn_model *model) {
    int in_file = 0, in_model = 0;
    for (int i = 0; i < layers->child_count; i++) in_file += group_has_weights(layers->children[i], 0);
    for (int i = 0; i < model->layer_count; i++) in_model += owns_weights(&r->homes, model, i);
    return r->options->skip_mismatch ? CNN_OK : expect_layer_count(in_file, in_model);
}

static cnn_status missing_group(reading *r, const cnn_layer *layer) {
    if (!r->options->skip_mismatch)
        return cnn_fail(CNN_ERROR_SHAPE, "the file has no weights for layer '%s', a %s", layer->name,
                        layer->class->name);
    cnn_text_add(r->notes, "skipped: the file has no weights for layer '%s', a %s\n", layer->name,
                 layer->class->name);
    return CNN_OK;
}

static cnn_status read_model_3(reading *r, const cnn_model *model, const cnn_h5_node *group);

static cnn_status read_group_3(reading *r, const cnn_layer *layer, const cnn_h5_node *group) {
    if (cnn_layer_is_model(layer)) return read_model_3(r, (const cnn_model *)layer, group);
    const char *name = group_layer_name(group);
    saved_layer saved = {.name = name ? name : group->name ? group->name : ""};
    const cnn_h5_node *vars = cnn_h5_find(group, "vars");
    cnn_status status = vars ? list_weights_3(&saved, vars) : CNN_OK;
    if (status == CNN_OK) status = read_layer(r, layer, &saved);
    cnn_free(saved.weights);
    return status;
}

static cnn_status read_groups_3(reading *r, const cnn_model *model, const cnn_h5_node *const *groups,
                                bool all) {
    for (int i = 0; i < model->layer_count; i++) {
        if (groups[i])
            CNN_TRY(read_group_3(r, model->layers[i], groups[i]));
        else if (all && owns_weights(&r->homes, model, i))
            CNN_TRY(missing_group(r, model->layers[i]));
    }
    return CNN_OK;
}

/* by_name: only the layers that the file has by their names; else all. */
static cnn_status read_layers_3(reading *r, const cnn_model *model, const cnn_h5_node *layers, bool by_name) {
    size_t bytes = (size_t)model->layer_count * sizeof(cnn_h5_node *);
    const cnn_h5_node **groups = cnn_malloc(bytes);
    if (!groups) return cnn_fail_memory(bytes);
    if (by_name)
        find_groups(groups, group_by_name, r, layers, model);
    else
        find_any_groups(groups, r, layers, model);
    cnn_status status = read_groups_3(r, model, groups, !by_name);
    cnn_free(groups);
    return status;
}

static cnn_status read_model_3(reading *r, const cnn_model *model, const cnn_h5_node *group) {
    static const cnn_h5_node none = {0};
    const cnn_h5_node *layers = layers_of(group);
    if (!layers) layers = &none;
    CNN_TRY(check_count_3(r, layers, model));
    return read_layers_3(r, model, layers, false);
}

static cnn_status read_by_name_3(reading *r, const cnn_model *model, const cnn_h5_node *layers) {
    bool named = false;
    for (int i = 0; i < layers->child_count; i++)
        if (group_layer_name(layers->children[i])) named = true;
    if (!named) return cnn_fail(CNN_ERROR_FORMAT, "by_name: the file does not have the names of its layers");
    return read_layers_3(r, model, layers, true);
}

static cnn_status read_3(reading *r, const cnn_model *model, const cnn_h5_node *root) {
    CNN_TRY(find_homes(&r->homes, model));
    if (r->options->by_name) return read_by_name_3(r, model, layers_of(root));
    return read_model_3(r, model, root);
}

/* A group "layers\conv2d" and its weights as layers/conv2d. */
static cnn_status straighten_group(cnn_h5_node *straight, const cnn_h5_node *group) {
    const cnn_h5_node *from = cnn_h5_find(group, "vars");
    char *path = cnn_strdup(group->name);
    if (!path) return cnn_fail_memory(strlen(group->name) + 1);
    for (char *at = path; (at = strchr(at, '\\'));) *at = '/';
    cnn_h5_node *place = NULL, *vars = NULL;
    cnn_status status = cnn_h5_group(&place, straight, path);
    cnn_free(path);
    if (status == CNN_OK) status = cnn_h5_group(&vars, place, "vars");
    for (int i = 0; status == CNN_OK && from && i < from->child_count; i++) {
        const cnn_h5_node *child = from->children[i];
        if (floats_of(child)) status = cnn_h5_add_tensor(vars, child->name, child->value->tensor);
    }
    const char *name = group_layer_name(group);
    return status == CNN_OK && name ? cnn_h5_set_text(vars, "name", name) : status;
}

/* Versions before 3 have written paths on Windows as single names with backslashes. */
static cnn_status straighten(reading *r, const cnn_h5_node *root) {
    CNN_TRY(cnn_h5_new(&r->straight));
    for (int i = 0; i < root->child_count; i++)
        if (strchr(root->children[i]->name, '\\')) CNN_TRY(straighten_group(r->straight, root->children[i]));
    return CNN_OK;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static cnn_status read_any(reading *r, const cnn_model *model, const cnn_h5_node *root) {
    const cnn_h5_node *group = cnn_h5_find(root, "model_weights");
    if (!group) group = root;
    if (cnn_h5_get(group, "layer_names")) return read_2(r, model, group);
    if (layers_of(root)) return read_3(r, model, root);
    CNN_TRY(straighten(r, root));
    if (layers_of(r->straight)) return read_3(r, model, r->straight);
    return cnn_fail(CNN_ERROR_FORMAT,
                    "the file holds no weights of a model: there is neither "
                    "the attribute 'layer_names' of Keras 2 nor the group 'layers' of Keras 3");
}

static void copy_all(const reading *r) {
    for (int i = 0; i < r->count; i++) {
        cnn_tensor *to = r->copies[i].to->value;
        memcpy(to->data, r->copies[i].from->data, (size_t)to->size * sizeof(float));
        to->version++;
    }
}

cnn_status cnn_weights_read(cnn_model *model, const cnn_h5_node *root, const cnn_weights_options *options,
                            cnn_text *notes) {
    CNN_TRY(cnn_model_expect_built(model, "load_weights"));
    reading r = {.options = options, .notes = notes};
    cnn_status status = read_any(&r, model, root);
    if (status == CNN_OK) {
        copy_all(&r);
        cnn_trainer_touch_weights(model);
        if (options->by_name && r.count == 0)
            cnn_text_add(notes, "no layer of the file has both a name and weights of the model's\n");
    }
    cnn_free(r.copies);
    cnn_free(r.homes.items);
    cnn_h5_free(r.straight);
    return status;
}
