"""What prepare.py does: images, tables or arrays of a user -> a prepared data set (``data.prepared_files``).

``collection`` names the samples, by ``class_folders``, ``label_tables``, ``number_tables`` or ``array_files``;
``form_choice`` decides on size, colour and depth; ``group_splits`` deals the samples out; ``image_writing`` reads and
writes the pixels, and goes on where it was stopped; ``preparation`` does one after the other. Imports no torch.
"""
