# IN WORK by another author
