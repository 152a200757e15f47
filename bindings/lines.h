/* Lines from the user: edited, completed and remembered in a terminal that can do that, plain from anything else. */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>

/* What Tab does to a line. */
typedef struct lines_completion {
    size_t erase; /* bytes before the cursor that go */
    char *insert; /* what comes in their place; malloc'ed, or NULL */
    char *list;   /* what is shown below the line; malloc'ed, or NULL */
} lines_completion;

/* Fills out for a line whose cursor stands after `cursor` bytes; false if there is nothing to say. */
typedef bool (*lines_completer)(lines_completion *out, const char *line, size_t cursor, int columns,
                                int rows);

/* Gives whether lines are edited. */
bool lines_start(lines_completer completer);

/* A malloc'ed line without its end (pasted or recalled text may have more than one line), or NULL at the end of
 * input or when Ctrl-C came. The prompt may have colours. */
char *lines_read(const char *prompt);

/* Keeps text of one or more lines as one entry of the history, at once also in its file. */
void lines_remember(const char *entry);

#endif
