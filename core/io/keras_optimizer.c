/* The state of optimizers in HDF5 trees.
 *
 * Keras keeps an optimizer's state as one list: the number of steps, the learning rate if Keras is 3, then the slots. In
 * which order is all that versions differ in: mostly slot by slot, each for all variables; Adam's first two side by side
 * for each variable in turn (m, v, m, v, …) since 2.11.
 *
 * What we write is, in Keras 3's form, what Keras 3 writes. In the form of Keras 2 it is what tf.keras to 2.10 writes and
 * reads back in full: steps, and slot by slot. No order suits all loaders: tf.keras to 2.10 asks for just these tensors,
 * 2.11 to 2.15 for Adam's pairs without a learning rate, Keras 3 for the learning rate second; and of Keras 3's slots its
 * own loader of .h5 files takes none. Each of them warns of a state in another order, goes on with a new one, and has
 * loaded all else. */
#include "io/keras_weights.h"
#include "io/weight_list.h"
#include "model/graph.h"
#include "train/schedule.h"
#include "train/trainer.h"
#include "base/memory.h"
#include "base/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the order of slots ---------------------------------------------------------------------------------- */

/* What classes of optimizers have in files. */
typedef struct file_class {
    const char *name;
    int paired;                       /* how many slots Keras 3 puts side by side, the first ones */
    const char *slots[CNN_MAX_SLOTS]; /* as Keras 2 calls them */
} file_class;

static const file_class *class_in_files(const cnn_optimizer *optimizer) {
    static const file_class classes[] = {{"SGD", 1, {"momentum"}},
                                         {"RMSprop", 1, {"rms", "momentum", "mg"}},
                                         {"Adam", 2, {"m", "v", "vhat"}},
                                         {"AdamW", 2, {"m", "v", "vhat"}},
                                         {"Adagrad", 1, {"accumulator"}}};
    const int count = (int)(sizeof classes / sizeof *classes);
    for (int i = 0; i < count; i++)
        if (strcmp(classes[i].name, optimizer->class->name) == 0) return &classes[i];
    return &classes[0];
}

typedef struct place {
    int slot, variable;
} place;

typedef struct place_list {
    place *items;
    int count;
} place_list;

static int slot_count(const cnn_optimizer *optimizer) {
    return ((const cnn_optimizer_class *)optimizer->class)->slot_count;
}

static bool keeps(const cnn_optimizer *optimizer, int slot) {
    float start;
    return cnn_optimizer_keeps(optimizer, slot, &start);
}

static float *slot_at(const cnn_optimizer *optimizer, place at) {
    return optimizer->slots[at.variable * slot_count(optimizer) + at.slot];
}

/* The slots that the optimizer keeps, in a file's order: the first `paired` side by side, the rest one after the other. */
static cnn_status list_places(place_list *list, const cnn_optimizer *optimizer, int paired) {
    int slots = slot_count(optimizer), variables = optimizer->variable_count;
    size_t bytes = (size_t)slots * (size_t)variables * sizeof *list->items;
    list->count = 0;
    if (!(list->items = cnn_malloc(bytes))) return cnn_fail_memory(bytes);
    for (int first = 0; first < slots; first += first == 0 ? paired : 1) {
        int end = first == 0 ? paired : first + 1;
        for (int variable = 0; variable < variables; variable++)
            for (int slot = first; slot < end; slot++)
                if (keeps(optimizer, slot)) list->items[list->count++] = (place){slot, variable};
    }
    return CNN_OK;
}

/* The weights that are being trained, which the state is for. */
static cnn_status list_trained(cnn_weight_list *list, const cnn_model *model) {
    CNN_TRY(cnn_weight_list_add(list, &model->layer));
    int count = 0;
    for (int i = 0; i < list->count; i++)
        if (cnn_weight_is_trained(list->items[i].variable)) list->items[count++] = list->items[i];
    list->count = count;
    return CNN_OK;
}

/* False if other layers were trained when the state came about. */
static bool state_is_for(const cnn_optimizer *optimizer, const cnn_weight_list *trained) {
    if (optimizer->variable_count != trained->count) return false;
    for (int i = 0; i < trained->count; i++)
        if (optimizer->sizes[i] != trained->items[i].variable->value->size) return false;
    return true;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

typedef struct writing {
    cnn_h5_node *group;
    const cnn_optimizer *optimizer;
    cnn_weight_list trained; /* empty if the state is for something else; then it stays out */
    place_list places;
} writing;

static cnn_status write_slot(const writing *w, const char *name, place at) {
    const cnn_tensor *value = w->trained.items[at.variable].variable->value;
    cnn_tensor *tensor;
    CNN_TRY(cnn_tensor_from(&tensor, CNN_FLOAT32, value->rank, value->shape, slot_at(w->optimizer, at)));
    cnn_status status = cnn_h5_add_tensor(w->group, name, tensor);
    cnn_tensor_release(tensor);
    return status;
}

static cnn_status write_rate(const writing *w, const char *name) {
    cnn_tensor *tensor;
    CNN_TRY(cnn_tensor_full(&tensor, CNN_FLOAT32, 0, NULL, w->optimizer->rate));
    cnn_status status = cnn_h5_add_tensor(w->group, name, tensor);
    cnn_tensor_release(tensor);
    return status;
}

static cnn_status write_steps(const writing *w, const char *name) {
    return cnn_h5_add_integers(w->group, name, CNN_H5_INT64, 0, NULL, &w->optimizer->iterations);
}

/* "Adam/iter:0", then "Adam/conv2d/kernel/m:0" and so on. */
static cnn_status write_named(const writing *w, char **names) {
    const file_class *class = class_in_files(w->optimizer);
    char before[48], after[64];
    snprintf(before, sizeof before, "%.40s/", w->optimizer->class->name);
    snprintf(after, sizeof after, "%siter:0", before);
    if (!(names[0] = cnn_strdup(after))) return cnn_fail_memory(sizeof after);
    CNN_TRY(write_steps(w, names[0]));
    for (int i = 0; i < w->places.count; i++) {
        place at = w->places.items[i];
        snprintf(after, sizeof after, "/%s:0", class->slots[at.slot]);
        CNN_TRY(cnn_weight_name(&names[i + 1], names, i + 1, &w->trained.items[at.variable], before, after));
        CNN_TRY(write_slot(w, names[i + 1], at));
    }
    return cnn_h5_set_list(w->group, "weight_names", (const char *const *)names, w->places.count + 1);
}

static cnn_status write_2(const writing *w) {
    size_t bytes = (size_t)(w->places.count + 1) * sizeof(char *);
    char **names = cnn_calloc(bytes);
    if (!names) return cnn_fail_memory(bytes);
    cnn_status status = write_named(w, names);
    cnn_names_free(names, w->places.count + 1);
    return status;
}

static cnn_status write_3(const writing *w) {
    CNN_TRY(cnn_h5_set_text(w->group, "name", w->optimizer->name));
    CNN_TRY(write_steps(w, "0"));
    int next = 1;
    if (!w->optimizer->schedule) {
        CNN_TRY(write_rate(w, "1"));
        next = 2;
    }
    for (int i = 0; i < w->places.count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", next + i);
        CNN_TRY(write_slot(w, number, w->places.items[i]));
    }
    return CNN_OK;
}

static cnn_status write_state(writing *w, const cnn_model *model, cnn_weights_form form) {
    CNN_TRY(list_trained(&w->trained, model));
    int paired = form == CNN_WEIGHTS_KERAS_3 ? class_in_files(w->optimizer)->paired : 1;
    if (state_is_for(w->optimizer, &w->trained)) CNN_TRY(list_places(&w->places, w->optimizer, paired));
    return form == CNN_WEIGHTS_KERAS_3 ? write_3(w) : write_2(w);
}

cnn_status cnn_optimizer_write(cnn_h5_node *root, cnn_model *model, cnn_weights_form form) {
    CNN_TRY(cnn_trainer_expect_compiled(model, "save"));
    writing w = {.optimizer = model->trainer->optimizer};
    if (!w.optimizer->sizes) CNN_TRY(cnn_trainer_build_optimizer(model));
    CNN_TRY(
        cnn_h5_group(&w.group, root, form == CNN_WEIGHTS_KERAS_3 ? "optimizer/vars" : "optimizer_weights"));
    cnn_status status = write_state(&w, model, form);
    cnn_weight_list_free(&w.trained);
    cnn_free(w.places.items);
    return status;
}

/* ---- reading: what the file has -------------------------------------------------------------------------- */

typedef struct saved_slot {
    const char *name; /* "" where the file's form has none */
    const cnn_tensor *value;
} saved_slot;

typedef struct saved_state {
    bool damaged;
    int64_t steps;          /* -1: not there, as older versions did not keep it for all optimizers */
    const cnn_tensor *rate; /* NULL: not there */
    saved_slot *slots;
    int count, capacity;
} saved_state;

/* Keras 2.0 counts steps in a float. */
static void take_steps(saved_state *state, double steps) {
    if (steps >= 0 && steps <= 9e15)
        state->steps = (int64_t)steps;
    else
        state->damaged = true;
}

static cnn_status take_value(saved_state *state, const char *name, const cnn_h5_node *node) {
    const cnn_h5_value *value = node ? node->value : NULL;
    const cnn_tensor *tensor = value && value->type == CNN_H5_FLOAT32 ? value->tensor : NULL;
    if (value && value->integers && value->count == 1) {
        take_steps(state, (double)value->integers[0]);
    } else if (tensor && tensor->rank == 0 && tensor->size == 1) {
        if (strstr(name, "iter"))
            take_steps(state, (double)cnn_f32(tensor)[0]);
        else
            state->rate = tensor;
    } else if (tensor) {
        CNN_TRY(cnn_list_grow((void **)&state->slots, state->count, &state->capacity, sizeof *state->slots));
        state->slots[state->count++] = (saved_slot){name, tensor};
    } else {
        state->damaged = true;
    }
    return CNN_OK;
}

static cnn_status take_named(saved_state *state, const cnn_h5_node *group) {
    char *const *names;
    int count;
    CNN_TRY(cnn_listed_names(&names, &count, group, "weight_names"));
    for (int i = 0; i < count; i++) CNN_TRY(take_value(state, names[i], cnn_h5_find(group, names[i])));
    return CNN_OK;
}

enum { MOST_NUMBERED = 1 << 15 };

static cnn_status take_numbered(saved_state *state, const cnn_h5_node *vars) {
    if (vars->child_count > MOST_NUMBERED) state->damaged = true;
    for (int i = 0; !state->damaged && i < vars->child_count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        CNN_TRY(take_value(state, "", cnn_h5_find(vars, number)));
    }
    return CNN_OK;
}

/* ---- reading: finding the order -------------------------------------------------------------------------- */

/* Which slot a tensor's name tells of: "Adam/conv2d/kernel/m:0", "m_3:0", "sequential_conv2d_kernel_momentum", and in
 * between "Adam/m/conv2d/kernel:0"; -1 if none. */
static int slot_of_name(const cnn_optimizer *optimizer, const char *name) {
    const cnn_optimizer_class *class = (const cnn_optimizer_class *)optimizer->class;
    const file_class *in_files = class_in_files(optimizer);
    const char *last = strrchr(name, '/');
    last = last ? last + 1 : name;
    for (int slot = 0; slot < class->slot_count; slot++) {
        const char *words[] = {in_files->slots[slot], class->slot_names[slot]};
        for (int i = 0; i < 2; i++) {
            char within[64];
            size_t length = strlen(words[i]), size = strcspn(last, ":");
            snprintf(within, sizeof within, "/%s/", words[i]);
            bool leads = strncmp(last, words[i], length) == 0 && strchr("_:", last[length]);
            bool ends = size > length && last[size - length - 1] == '_' &&
                        strncmp(last + size - length, words[i], length) == 0;
            bool first = strncmp(name, within + 1, strlen(within) - 1) == 0;
            if (leads || ends || first || strstr(name, within)) return slot;
        }
    }
    return -1;
}

static bool same_shape(const cnn_tensor *a, const cnn_tensor *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* Whether the file's tensors have the places' shapes, and no name tells of another slot. */
static bool places_fit(const place_list *places, const cnn_optimizer *optimizer,
                       const cnn_weight_list *trained, const saved_state *state, bool by_names) {
    for (int i = 0; i < places->count; i++) {
        place at = places->items[i];
        if (!same_shape(state->slots[i].value, trained->items[at.variable].variable->value)) return false;
        int told = by_names ? slot_of_name(optimizer, state->slots[i].name) : -1;
        if (told >= 0 && told != at.slot) return false;
    }
    return true;
}

/* Before tf.keras, Adam had its third slot in files even if it did not keep one; since 2.11, SGD its only one. */
static bool count_fits(const place_list *places, const cnn_optimizer *optimizer, int count) {
    int variables = optimizer->variable_count;
    if (count == places->count) return true;
    if (class_in_files(optimizer)->paired == 2)
        return places->count == 2 * variables && count == 3 * variables;
    return places->count == 0 && slot_count(optimizer) == 1 && count == variables;
}

/* Finds the order in which the file's tensors are; *places is to be freed whatever comes back. */
static cnn_status find_places(bool *found, place_list *places, const cnn_optimizer *optimizer,
                              const cnn_weight_list *trained, const saved_state *state, bool numbered) {
    int most = class_in_files(optimizer)->paired;
    for (int i = 0; i < 4; i++) {
        int paired = (i % 2 == 0) == numbered ? most : 1;
        cnn_free(places->items);
        CNN_TRY(list_places(places, optimizer, paired));
        *found = count_fits(places, optimizer, state->count) &&
                 places_fit(places, optimizer, trained, state, i < 2);
        if (*found) return CNN_OK;
    }
    return CNN_OK;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static void take_over(cnn_optimizer *optimizer, const place_list *places, const saved_state *state) {
    for (int i = 0; i < places->count; i++) {
        const cnn_tensor *from = state->slots[i].value;
        memcpy(slot_at(optimizer, places->items[i]), from->data, (size_t)from->size * sizeof(float));
    }
    if (state->steps >= 0) optimizer->iterations = state->steps;
    if (!state->rate || optimizer->schedule) return;
    float rate = cnn_f32(state->rate)[0];
    if (isfinite(rate) && rate >= 0 && rate != (float)optimizer->rate) optimizer->rate = (double)rate;
}

static cnn_status match_state(cnn_optimizer *optimizer, const cnn_weight_list *trained,
                              const saved_state *state, bool numbered, cnn_text *notes) {
    bool found = false;
    place_list places = {0};
    cnn_status status = CNN_OK;
    if (!state->damaged && state_is_for(optimizer, trained))
        status = find_places(&found, &places, optimizer, trained, state, numbered);
    bool unused = state->count == 0 && state->steps <= 0; /* saved before the first step */
    if (status == CNN_OK && found)
        take_over(optimizer, &places, state);
    else if (status == CNN_OK && !unused)
        cnn_text_add(
            notes,
            "the optimizer's state in the file does not fit %s for the %d weights being trained, and "
            "was left out: training goes on with a new one\n",
            optimizer->class->name, trained->count);
    cnn_free(places.items);
    return status;
}

static cnn_status read_state(cnn_model *model, const cnn_h5_node *group, bool numbered, cnn_text *notes) {
    saved_state state = {.steps = -1};
    cnn_weight_list trained = {0};
    cnn_status status = numbered ? take_numbered(&state, group) : take_named(&state, group);
    if (status == CNN_OK) status = list_trained(&trained, model);
    if (status == CNN_OK) status = match_state(model->trainer->optimizer, &trained, &state, numbered, notes);
    cnn_weight_list_free(&trained);
    cnn_free(state.slots);
    return status;
}

cnn_status cnn_optimizer_read(cnn_model *model, const cnn_h5_node *root, cnn_text *notes) {
    CNN_TRY(cnn_trainer_expect_compiled(model, "load"));
    const cnn_h5_node *named = cnn_h5_find(root, "optimizer_weights");
    const cnn_h5_node *vars = cnn_h5_find(root, "optimizer/vars");
    if (!named && !vars) return CNN_OK;
    if (!model->trainer->optimizer->sizes) CNN_TRY(cnn_trainer_build_optimizer(model));
    return read_state(model, named ? named : vars, !named, notes);
}
